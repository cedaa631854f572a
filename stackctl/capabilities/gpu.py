"""NVIDIA's driver: where it comes from, which version, and how its GPUs are set."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from stackctl.core.artifact import FileTemplate
from stackctl.schema.fleet import Fleet
from stackctl.schema.problem import Problem


@dataclass(frozen=True)
class Source:
    """A package repository of a vendor, signed with a key whose fingerprint is known beforehand."""

    name: str
    """Stem of the files that apt has of it: `stackctl-cuda`."""
    url: str
    key: str
    """Where the signing key is."""
    fingerprint: str


@dataclass(frozen=True)
class Card:
    """One GPU with its settings; what is None is left as it is."""

    name: str
    """As the inventory calls it."""
    uuid: str | None
    pci: str | None
    id: str | None
    use: Literal["containers", "passthrough"]
    power_limit: int | None = None
    """Watts."""
    clocks: tuple[int, int] | None = None
    """Memory and graphics, MHz."""
    ecc: bool | None = None
    mig: tuple[str, ...] | None = None


@dataclass(frozen=True)
class GpuSpec:
    """The driver and the GPUs of one host."""

    source: Literal["nvidia", "distribution", "existing", "none"]
    pin: str | None
    """What the driver's version begins with: `580.178.04` where it is written, else the branch; None: any."""
    modules: Literal["open", "proprietary"] | None
    """Flavour of the kernel modules; None: nobody knows or cares."""
    sources: tuple[Source, ...]
    packages: tuple[str, ...]
    """The driver's, in apt's names without versions."""
    headers: tuple[str, ...]
    """Packages that bring the headers of every kernel to come."""
    cuda: tuple[str, ...]
    """Packages of the toolkits on the host."""
    persistence: bool
    fabric: Literal["auto", "yes", "no"]
    hold: bool
    leftovers: Literal["refuse", "remove"]
    cards: tuple[Card, ...]


def resolve(fleet: Fleet, host: str) -> GpuSpec | None:
    """The driver; None where the host has no GPUs and wants no driver."""
    raise NotImplementedError


def templates(spec: GpuSpec) -> tuple[FileTemplate, ...]:
    """What keeps apt to one source and one version, the kernel from nouveau, and the GPUs' settings over a boot."""
    raise NotImplementedError


def check(fleet: Fleet) -> Iterator[Problem]:
    """Drivers that do not fit the GPUs or the images placed on them."""
    raise NotImplementedError
