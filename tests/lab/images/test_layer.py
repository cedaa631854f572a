import io
import os
import tarfile
from pathlib import Path

from stackctl.lab.images.layer import Layer, layer_of_files, layer_of_tree


def test_the_same_files_give_the_same_bytes() -> None:
    one, _ = layer_of_files({"/srv/b": b"2", "/srv/a": b"1"})
    other, _ = layer_of_files({"/srv/a": b"1", "/srv/b": b"2"})

    assert one == other


def test_no_path_is_in_a_layer_twice() -> None:
    _, content = layer_of_files({"/srv/app/a": b"1", "/srv/app/b": b"2"})

    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert archive.getnames() == ["srv", "srv/app", "srv/app/a", "srv/app/b"]


def test_a_tree_gives_the_same_bytes_whenever_it_was_made(tmp_path: Path) -> None:
    layers = []
    for number, names in enumerate((("a", "b"), ("b", "a"))):
        root = tmp_path / str(number)
        root.mkdir()
        for name in names:
            (root / name).write_text(name)
            os.utime(root / name, (number, number))
        layers.append(layer_of_tree(root, tmp_path / f"{number}.zst"))

    assert layers[0] == layers[1]


def test_a_layer_is_read_as_it_was_saved(tmp_path: Path) -> None:
    layer, _ = layer_of_files({"/a": b"1"})
    layer.save(tmp_path / "layer.json")

    assert Layer.load(tmp_path / "layer.json") == layer
