from collections.abc import Callable
from pathlib import Path

import pytest

from stackctl.lab import cache


def test_what_has_been_made_is_not_made_again(tmp_path: Path) -> None:
    places = [cache.made("base", "k", _write("first"), cache=tmp_path)]
    places += [cache.made("base", "k", _write("second"), cache=tmp_path)]

    assert [(place / "file").read_text() for place in places] == ["first", "first"]


def test_what_failed_half_way_is_not_there_and_is_made_afresh(tmp_path: Path) -> None:
    def fail(place: Path) -> None:
        (place / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.made("base", "k", fail, cache=tmp_path)

    assert not (tmp_path / "base").exists()
    assert [path.name for path in cache.made("base", "k", _write("whole"), cache=tmp_path).iterdir()] == [
        "file"
    ]


def test_only_leftovers_that_nobody_works_on_are_swept(tmp_path: Path) -> None:
    for name in ("base-dead", "base-alive"):
        (tmp_path / "partial" / name).mkdir(parents=True)

    with cache.locked("base-alive", cache=tmp_path):
        cache.sweep(tmp_path)

    assert [path.name for path in (tmp_path / "partial").iterdir()] == ["base-alive"]


def test_another_recipe_has_another_key() -> None:
    assert cache.key_of(["trixie", ["curl"]]) != cache.key_of(["trixie", ["curl", "less"]])


def _write(text: str) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        (place / "file").write_text(text)

    return make
