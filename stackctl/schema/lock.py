"""What is to be locked, and what is wrong with an environment whose locks lack some of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from stackctl.core.finding import Finding, FindingsError
from stackctl.schema.fleet import Fleet
from stackctl.schema.problem import Problem
from stackctl.schema.snapshot import named
from stackctl.schema.wording import similar
from stackctl.servers import ModelServer
from stackctl.servers.base import HubWeights

_RUN = "run `stackctl lock`, review what it writes, and commit it"
_TORCH = (".bin", ".pt", ".pth", ".ckpt")
_OTHERS = (".h5", ".msgpack", ".onnx", ".ot", ".tflite", ".gguf")
"""Weights in the formats of other programs."""
_COPIES = ("original", "onnx", "openvino", "coreml")
"""Folders that hold the same weights once more."""
_PAPERS = (".md", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".mp4", ".pdf")
_SAFE = ".safetensors"


@dataclass(frozen=True)
class Repository:
    """A repository of the model hub, as the models that use it want it."""

    repo: str
    revision: str
    files: tuple[str, ...] = ()
    """Patterns of the files that are wanted."""
    usual: bool = True
    """Whether what `usual` says is wanted too."""

    def wanted(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Those of its files that hosts fetch, in order."""
        listed = sorted(paths)
        chosen = {path for path in listed if any(fnmatchcase(path, form) for form in self.files)}
        return tuple(sorted(chosen.union(usual(listed) if self.usual else ())))


def usual(paths: Iterable[str]) -> tuple[str, ...]:
    """What servers need of a repository whose model does not say so with `weights.files`.

    Neither hidden files nor papers and pictures; and beside safetensors no weights in any other format: those of
    PyTorch in the same folder, those of other programs, and the folders that hold the weights once more.
    """
    listed = sorted(paths)
    safe = {_folder(path) for path in listed if path.endswith(_SAFE)}
    return tuple(path for path in listed if not _hidden(path) and not _needless(path, safe))


def _needless(path: str, safe: set[str]) -> bool:
    name = path.lower()
    copied = "" in safe and path.partition("/")[0] in _COPIES and "/" in path
    other = bool(safe) and name.endswith(_OTHERS)
    return name.endswith(_PAPERS) or copied or other or (_folder(path) in safe and name.endswith(_TORCH))


def _hidden(path: str) -> bool:
    return any(step.startswith(".") for step in path.split("/"))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def images(models: Mapping[str, ModelServer]) -> tuple[str, ...]:
    """Every image of these models, in order."""
    return tuple(sorted({server.image for server in models.values()}))


def repositories(models: Mapping[str, ModelServer]) -> dict[str, Repository]:
    """Every repository of these models by its name in the lock; in order.

    What several models want of one is fetched once: all of it that any of them wants.
    """
    wanted: dict[str, list[HubWeights]] = {}
    for server in models.values():
        if isinstance(server.weights, HubWeights):
            wanted.setdefault(named(server.weights), []).append(server.weights)
    return {name: _together(each) for name, each in sorted(wanted.items())}


def _together(each: list[HubWeights]) -> Repository:
    forms = {form for weights in each for form in weights.files}
    usually = not all(weights.files for weights in each)
    return Repository(each[0].repo, each[0].revision, tuple(sorted(forms)), usually)


def check(fleet: Fleet) -> Iterator[Problem]:
    """Images and repositories of placed models that the locks do not have."""
    severity: Literal["error", "warning"] = "error" if fleet.locked == "required" else "warning"
    for model, placements in sorted(fleet.placements.items()):
        server = fleet.models.get(model)
        if server is None or not placements:
            continue
        if fleet.locked == "required" and server.image not in fleet.digests:
            what = f"`{server.image}` is not in inventory/images.lock, and `{fleet.environment}` wants all locked"
            yield Problem(("models", model, "image"), what, _RUN)
        if isinstance(server.weights, HubWeights) and fleet.snapshot(model) is None:
            what = f"`{named(server.weights)}` is not in inventory/weights.lock, so that no host fetches it"
            yield Problem(("models", model, "weights"), what, _RUN, severity=severity)


@dataclass(frozen=True)
class Chosen:
    """What a run is about."""

    images: tuple[str, ...]
    repositories: Mapping[str, Repository]


def chosen(models: Mapping[str, ModelServer], names: Sequence[str]) -> Chosen:
    """What these names of models, images and repositories mean, and none the whole catalogue.

    FindingsError tells those that mean nothing.
    """
    all_images, all_repositories = images(models), repositories(models)
    if not names:
        return Chosen(all_images, all_repositories)
    wanted: list[str] = []
    unknown: list[Finding] = []
    for name in names:
        if name in models:
            weights = models[name].weights
            wanted += [models[name].image, *([named(weights)] if isinstance(weights, HubWeights) else [])]
            continue
        meant = [each for each in (*all_images, *all_repositories) if name in (each, each.partition("@")[0])]
        wanted += meant
        if not meant:
            what = f"`{name}` is no model, image or repository of the catalogue"
            near = similar(name, (*models, *all_images, *all_repositories))
            unknown.append(Finding("inventory/models.yaml", what, near))
    if unknown:
        raise FindingsError(*unknown)
    return Chosen(
        tuple(image for image in all_images if image in wanted),
        {name: repository for name, repository in all_repositories.items() if name in wanted},
    )
