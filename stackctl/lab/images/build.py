"""Building images with no container engine at hand, and offering them in the lab's registry."""

import hashlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from stackctl.core.finding import FindingsError
from stackctl.lab import base, cache, wheels
from stackctl.lab.images.layer import Layer, layer_of_files, layer_of_tree
from stackctl.lab.images.manifest import configuration, manifest
from stackctl.lab.images.recipe import Attempt, Recipe, Root
from stackctl.lab.mirror import Mirror
from stackctl.lab.registry import Registry
from stackctl.lab.shell import confined, run

_WHEELS = "opt/wheels"
_LAYER, _ABOUT = "layer.tar.zst", "layer.json"


def offer(recipe: Recipe, registry: Registry, mirror: Mirror, progress: Callable[[str], None]) -> str:
    """Have the registry serve the image, built and pushed only where it is not there; its digest."""
    place = root_layer(recipe.root, mirror, progress)
    bottom = Layer.load(place / _ABOUT)
    top, top_content = layer_of_files(recipe.files)
    layers = [bottom, top] if recipe.files else [bottom]
    config = configuration(recipe.run_configuration, layers)
    text = manifest(_digest(config), len(config), layers)
    digest = _digest(text)
    if registry.digest(recipe.repository, recipe.tag) == digest:
        return digest
    progress(f"image {recipe.reference}")
    registry.push_blob(recipe.repository, place / _LAYER, bottom.digest)
    if recipe.files:
        registry.push_bytes(recipe.repository, top_content)
    registry.push_bytes(recipe.repository, config)
    return registry.push_manifest(recipe.repository, recipe.tag, text)


def root_layer(root: Root, mirror: Mirror, progress: Callable[[str], None]) -> Path:
    """Directory with the layer of a root, and the weights made with it, from the cache or made now."""
    key = f"{root.key}-{cache.key_of([mirror.archive, base.SLIM, _script() if root.wheels else None])}"

    def make(place: Path) -> None:
        progress(f"building the root of {root.name} images")
        tree = base.bootstrap(
            place, root.suite, root.packages, mirror, [f"--dpkgopt={rule}" for rule in base.SLIM]
        )
        if root.wheels:
            _install_wheels(root, tree, progress)
            _make_weights(tree, place / "weights")
        layer_of_tree(tree, place / _LAYER).save(place / _ABOUT)
        cache.remove_tree(tree)

    return cache.made("layers", key, make)


def weights_of(recipe: Recipe, mirror: Mirror, progress: Callable[[str], None]) -> Path | None:
    """The weights that were made with the image; None where it has none."""
    if recipe.weights is None:
        return None
    return root_layer(recipe.root, mirror, progress) / "weights" / recipe.weights


def _install_wheels(root: Root, tree: Path, progress: Callable[[str], None]) -> None:
    target = tree / _WHEELS
    for number, attempt in enumerate(root.attempts):
        cache.remove_tree(target)
        try:
            _install(root, target, attempt)
            break
        except FindingsError as error:
            if number + 1 == len(root.attempts):
                raise
            progress(f"trying elsewhere, as {error.findings[0].what}")
    if root.alias:
        name, version = root.alias
        about = target / f"{name}-{version}.dist-info/METADATA"
        about.parent.mkdir()
        about.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def _install(root: Root, target: Path, attempt: Attempt) -> None:
    overrides = target.parents[2] / "overrides.txt"
    lines = [f"{name}; python_version < '3'" for name in root.without]
    overrides.write_text("\n".join([*lines, *attempt.overrides]) + "\n")
    argv: list[str | Path] = [
        wheels.uv() or "uv", "pip", "install", f"--target={target}",
        "--python-version=3.11", "--link-mode=copy",
        f"--overrides={overrides}", "--index-strategy=unsafe-best-match", *wheels.source_flags(),
        *root.wheels,
    ]  # fmt: skip
    hint = "see whether `uv pip install` reaches a Python package index on this machine"
    run(confined(argv), where=f"installing {', '.join(root.wheels)}", hint=hint)
    overrides.unlink()


def _make_weights(tree: Path, weights: Path) -> None:
    weights.mkdir()
    script = tree / "srv/make_weights.py"
    script.write_text(_script())
    argv: list[str | Path] = [
        "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--as-pid2",
        f"--directory={tree}", f"--bind={weights}:/srv/weights", f"--setenv=PYTHONPATH=/{_WHEELS}",
        "python3", "/srv/make_weights.py", "/srv/weights/tiny-llama",
    ]  # fmt: skip
    run(confined(argv), where="making the weights of tiny-llama")
    script.unlink()


def _script() -> str:
    return files(__package__).joinpath("tiny_llama.py").read_text()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
