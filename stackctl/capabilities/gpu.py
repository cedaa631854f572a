"""NVIDIA's driver: where it comes from, which version, and how its GPUs are set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from stackctl.core.artifact import Artifact, FileTemplate
from stackctl.core.opening import Opening
from stackctl.nvidia import branches, packages, preferences, repositories
from stackctl.nvidia.families import Flavour
from stackctl.nvidia.version import shown
from stackctl.schema import compatibility
from stackctl.schema.fleet import Fleet
from stackctl.schema.gpu import Gpu, Tuning
from stackctl.schema.gpu_host import GpuHost, gpu_host
from stackctl.schema.host import Host
from stackctl.schema.problem import Problem
from stackctl.schema.repository import Repository

PREFERENCES = "/etc/apt/preferences.d/00stackctl-nvidia"
UNATTENDED = "/etc/apt/apt.conf.d/52stackctl-nvidia"
NOUVEAU = "/etc/modprobe.d/90-stackctl-nouveau.conf"
TUNING_UNIT = "stackctl-gpu-tuning.service"
TUNING = f"/etc/systemd/system/{TUNING_UNIT}"
PERSISTENCED = "/etc/systemd/system/nvidia-persistenced.service.d/stackctl.conf"


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
    instances: tuple[tuple[str, str], ...] | None = None
    """Instances as placements call them, with their UUIDs."""


@dataclass(frozen=True)
class Files:
    """The capability's files, by what they are for."""

    apt: tuple[Artifact, ...]
    nouveau: tuple[Artifact, ...]
    persistenced: tuple[Artifact, ...]
    tuning: tuple[Artifact, ...]


@dataclass(frozen=True)
class GpuSpec:
    """The driver and the GPUs of one host."""

    source: Literal["nvidia", "distribution", "existing", "none"]
    pin: str | None
    """What the driver's version begins with: `580.178.04` where it is written, else the branch; None: any."""
    modules: Flavour | None
    """Flavour of the kernel modules; None: nobody knows or cares."""
    sources: tuple[Source, ...]
    names: packages.Names | None
    """The driver's packages; None: stackctl does not install it."""
    cuda: tuple[str, ...]
    """Packages of the toolkits on the host."""
    persistence: bool
    ubuntu: bool
    """Whether the system's own unit of the persistence daemon has to be set right."""
    fabric: Literal["auto", "yes", "no"]
    hold: bool
    leftovers: Literal["refuse", "remove"]
    cards: tuple[Card, ...]

    @property
    def ours(self) -> tuple[str, ...]:
        """Packages and stems of source lists that are as they should be."""
        names = self.names
        own = (*names.driver, *names.fabric, *names.nvlink5, *self.cuda) if names is not None else ()
        return (*own, *(source.name for source in self.sources), "stackctl-toolkit")

    @property
    def tools(self) -> tuple[str, ...]:
        """Packages that the deploy itself needs: what judges keys."""
        return ("gpg",) if self.sources else ()

    @property
    def holdable(self) -> tuple[str, ...]:
        """Packages that apt is told to leave; signed modules go with their kernels, and have to come with new ones."""
        names = self.names.driver if self.names is not None else ()
        return tuple(name for name in names if not name.startswith("linux-modules-"))


def resolve(fleet: Fleet, host: str) -> GpuSpec | None:
    """The driver; None where the host has no GPUs and wants no driver."""
    wanted = fleet.hosts[host]
    driver = wanted.driver
    if not wanted.gpus and driver.source in ("existing", "none"):
        return None
    found = gpu_host(host, wanted)
    modules = _modules(found)
    return GpuSpec(
        source=driver.source,
        pin=_pin(found),
        modules=modules,
        sources=_sources(wanted),
        names=_names(found, modules),
        cuda=tuple(_toolkit(wanted, version) for version in driver.cuda),
        persistence=driver.persistence and driver.source != "none",
        ubuntu=wanted.os.startswith("ubuntu"),
        fabric=driver.fabric_manager,
        hold=driver.hold,
        leftovers=driver.leftovers,
        cards=tuple(_card(name, gpu, driver.tuning) for name, gpu in sorted(wanted.gpus.items())),
    )


def templates(spec: GpuSpec) -> tuple[FileTemplate, ...]:
    """What keeps apt to one source and one version, the kernel from nouveau, and the GPUs' settings over a boot."""
    files: list[FileTemplate] = []
    if spec.names is not None:
        files.append(FileTemplate(NOUVEAU, "gpu/nouveau.conf.j2", {}))
        pins = preferences.pins("nvidia" if spec.source == "nvidia" else "distribution", spec.pin)
        files.append(FileTemplate(PREFERENCES, "gpu/preferences.j2", {"pins": pins}))
        # Empty rather than gone: a file that is no longer written would go on holding.
        patterns = preferences.UNATTENDED if spec.hold else ()
        files.append(FileTemplate(UNATTENDED, "gpu/unattended.j2", {"patterns": patterns}))
    if spec.persistence and spec.ubuntu and spec.names is not None:
        files.append(FileTemplate(PERSISTENCED, "gpu/persistenced.conf.j2", {}))
    commands = tuning_commands(spec)
    if commands:
        files.append(FileTemplate(TUNING, "gpu/tuning.service.j2", {"commands": commands}))
    return tuple(files)


def parted(artifacts: Sequence[Artifact]) -> Files:
    """Rendered files as the deploy needs them, one step after the other."""
    places = {NOUVEAU: "nouveau", PERSISTENCED: "persistenced", TUNING: "tuning"}
    found: dict[str, tuple[Artifact, ...]] = {"apt": (), **dict.fromkeys(places.values(), ())}
    for artifact in artifacts:
        found[places.get(artifact.path, "apt")] += (artifact,)
    return Files(**found)


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:  # noqa: ARG001
    """It listens on nothing that others reach."""
    return ()


def check(fleet: Fleet) -> Iterator[Problem]:
    """Drivers that do not fit the GPUs or the images placed on them."""
    yield from compatibility.problems(fleet)


def tuning_commands(spec: GpuSpec) -> tuple[str, ...]:
    """Command lines of the unit that sets the GPUs, in the order that they depend on each other."""
    cards = [(card, card.uuid) for card in spec.cards if card.uuid is not None]
    return tuple(
        line for card, uuid in cards for line in (*plain_commands(card, uuid), *_instances(card, uuid))
    )


def plain_commands(card: Card, uuid: str) -> Iterator[str]:
    """Command lines of what a card can be told while it works."""
    one = f"/usr/bin/nvidia-smi -i {uuid}"
    if card.ecc is not None:
        yield f"{one} -e {int(card.ecc)}"
    if card.power_limit is not None:
        yield f"{one} -pl {card.power_limit}"
    if card.clocks is not None:
        yield f"{one} -ac {card.clocks[0]},{card.clocks[1]}"


def _instances(card: Card, uuid: str) -> Iterator[str]:
    if card.mig is not None:
        yield f"/usr/bin/nvidia-smi -i {uuid} -mig {int(bool(card.mig))}"
    if card.mig:
        # Instances live until the next boot; those of another layout go first, and there may be none.
        yield f"-/usr/bin/nvidia-smi mig -i {uuid} -dci"
        yield f"-/usr/bin/nvidia-smi mig -i {uuid} -dgi"
        yield f"/usr/bin/nvidia-smi mig -i {uuid} -cgi {','.join(card.mig)} -C"


def _modules(found: GpuHost) -> Flavour | None:
    """What is written; `auto`: what all cards run with, open where both do and can be had."""
    driver = found.driver
    if driver.modules != "auto":
        return driver.modules
    if driver.source not in ("nvidia", "distribution"):
        return None
    own = branches.distribution(found.host.os) if driver.source == "distribution" else None
    offered: tuple[Flavour, ...] = own.modules if own else ("open", "proprietary")
    return found.flavour or offered[0]


def _pin(found: GpuHost) -> str | None:
    """As far as it is written; shorter than a branch it never is."""
    return found.driver.version or (None if found.version is None else shown(found.version))


def _names(found: GpuHost, modules: Flavour | None) -> packages.Names | None:
    source = found.driver.source
    if found.version is None or modules is None or source not in ("nvidia", "distribution"):
        return None
    return packages.driver(source, found.host.os, found.version[0], modules)


def _toolkit(host: Host, version: str) -> str:
    own = host.driver.source == "distribution"
    return packages.cuda_toolkit("distribution" if own else "nvidia", host.os, version)


def _sources(host: Host) -> tuple[Source, ...]:
    if host.driver.source != "nvidia":
        return ()
    vendor, mirror = repositories.drivers(host.os), host.driver.repository
    return (source("stackctl-cuda", vendor, mirror),)


def source(name: str, vendor: repositories.Vendor, mirror: Repository | None) -> Source:
    """The vendor's repository, or the site's copy of it."""
    if mirror is None:
        return Source(name, vendor.url, vendor.key, vendor.fingerprint)
    key = mirror.key or f"{mirror.url}/{vendor.key.rpartition('/')[2]}"
    return Source(name, mirror.url, key, mirror.fingerprint or vendor.fingerprint)


def _card(name: str, gpu: Gpu, shared: Tuning) -> Card:
    own = {key: value for key, value in gpu.tuning.model_dump().items() if value is not None}
    tuning = shared.model_copy(update=own) if gpu.use == "containers" else Tuning()
    clocks = tuning.clocks.split(",") if tuning.clocks else None
    return Card(
        name,
        gpu.uuid,
        gpu.pci,
        gpu.id,
        gpu.use,
        tuning.power_limit,
        (int(clocks[0]), int(clocks[1])) if clocks else None,
        tuning.ecc,
        tuning.mig,
        tuple(sorted(gpu.instances.items())) or None,
    )
