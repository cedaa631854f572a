"""What a lab looks like right now."""

from dataclasses import dataclass

from stackctl.lab import cgroup, host, kernel
from stackctl.lab.registry import Registry
from stackctl.lab.spec import PACKAGES_ADDRESS, PACKAGES_PORT, REGISTRY, Kind, LabSpec


@dataclass(frozen=True)
class HostStatus:
    """One host: `up` answers on its SSH port, `booting` runs and does not yet, `down` does not run."""

    name: str
    address: str
    state: str


@dataclass(frozen=True)
class LabStatus:
    """The whole lab."""

    name: str
    kind: Kind
    hosts: tuple[HostStatus, ...]
    registry: str
    images: tuple[str, ...]
    """What the registry serves; empty where it does not run."""
    packages: str
    key: str
    known_hosts: str

    @property
    def up(self) -> bool:
        """Whether every host answers."""
        return all(each.state == "up" for each in self.hosts)


def status(spec: LabSpec) -> LabStatus:
    """Look at the lab."""
    running = kernel.runs(spec.name, str(spec.state / "registry.yml"))
    return LabStatus(
        name=spec.name,
        kind=spec.kind,
        hosts=tuple(HostStatus(each.name, str(each.address), state(spec, each.name)) for each in spec.hosts),
        registry=REGISTRY,
        images=tuple(Registry(spec).images()) if running else (),
        packages=f"http://{PACKAGES_ADDRESS}:{PACKAGES_PORT}",
        key=str(spec.key),
        known_hosts=str(spec.known_hosts),
    )


def state(spec: LabSpec, name: str) -> str:
    """`up`, `booting` or `down`."""
    if kernel.watcher(spec.host_namespace(name)) is None:
        return "down"
    return "up" if host.answers(spec, spec.host(name)) else "booting"


def remains(lab: str) -> list[str]:
    """Everything of a lab that this machine still has, in words; nothing after a `down`."""
    directory = LabSpec(lab, ()).state
    return [
        *(f"process {pid}" for pid in kernel.processes(lab)),
        *(f"mount {point}" for point in kernel.mounts_below(directory)),
        *(f"namespace {name}" for name in kernel.namespaces(lab)),
        *(f"control group {group}" for group in cgroup.of_lab(lab)),
        *([f"directory {directory}"] if directory.exists() else []),
    ]
