"""The container engine and Compose, from the distribution."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stackctl.capabilities.gpu import Source, source
from stackctl.core.artifact import FileTemplate
from stackctl.core.opening import Opening
from stackctl.core.secret import SecretRef
from stackctl.nvidia import repositories
from stackctl.schema.docker import Docker
from stackctl.schema.fleet import Fleet
from stackctl.schema.host import Host
from stackctl.schema.problem import Problem

DAEMON_FILE = "/etc/docker/daemon.json"
LOGINS_FILE = "/root/.docker/config.json"

TOOLKIT_FILE = "/etc/nvidia-container-runtime/config.toml"
ENVIRONMENT_KEY = "accept-nvidia-visible-devices-envvar-when-unprivileged"

CDI_FILE = "/run/cdi/nvidia.yaml"
"""Where the toolkit's own unit puts it too; both write the same, in one go."""
CDI_UNIT = "stackctl-cdi.service"
CDI_UNIT_FILE = f"/etc/systemd/system/{CDI_UNIT}"

_TOOLKIT = (
    "libnvidia-container-tools",
    "libnvidia-container1",
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
)
_PACKAGES = {
    "debian-13": ("docker-cli", "docker-compose", "docker.io"),
    "ubuntu-24.04": ("docker-compose-v2", "docker.io"),
    "ubuntu-22.04": ("docker-compose-v2", "docker.io"),
}
"""Where a system is missing its distribution has no Compose v2."""
_HUB = {"docker.io": "https://index.docker.io/v1/"}
"""The one registry whose logins Docker files under another name."""


@dataclass(frozen=True)
class Login:
    """Credentials for one registry."""

    registry: str
    """As Docker's own configuration names it."""
    user: str
    password: SecretRef


@dataclass(frozen=True)
class ToolkitSpec:
    """NVIDIA's Container Toolkit, and the GPUs that have to be described."""

    source: Source
    packages: tuple[str, ...]
    """Each at the one version."""
    uuids: tuple[str, ...]
    """GPUs that containers are given whole, as far as the inventory knows them."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """As the deploy takes them."""
        return (self.source,)

    @property
    def names(self) -> tuple[str, ...]:
        """Packages without their version."""
        return tuple(package.partition("=")[0] for package in self.packages)


@dataclass(frozen=True)
class DockerSpec:
    """The engine of one host."""

    packages: tuple[str, ...]
    daemon: Mapping[str, Any]
    """Keys of daemon.json that are ours; all others stay as they are."""
    logins: tuple[Login, ...]
    toolkit: ToolkitSpec | None = None
    """What describes the host's GPUs to the engine; None: it has none for containers, or somebody else does."""


def resolve(fleet: Fleet, host: str) -> DockerSpec | None:
    """The engine; None where the host carries no models."""
    wanted = fleet.hosts[host]
    if "models" not in wanted.roles:
        return None
    logins = (
        Login(_HUB.get(registry, registry), login.user, login.password)
        for registry, login in sorted(wanted.docker.registries.items())
    )
    return DockerSpec(_PACKAGES.get(wanted.os, ()), _daemon(wanted), tuple(logins), _toolkit(wanted))


def templates(spec: DockerSpec) -> tuple[FileTemplate, ...]:
    """Logins, and the unit that describes GPUs at boot; daemon.json belongs to others as well."""
    unit = (FileTemplate(CDI_UNIT_FILE, "docker/cdi.service.j2", {"file": CDI_FILE}),) if spec.toolkit else ()
    if not spec.logins:
        return unit
    auths = {
        login.registry: {"username": login.user, "password": login.password.placeholder}
        for login in spec.logins
    }
    secrets = tuple(sorted({login.password for login in spec.logins}))
    return (
        *unit,
        FileTemplate(LOGINS_FILE, "docker/config.json.j2", {"auths": auths}, mode=0o600, secrets=secrets),
    )


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:  # noqa: ARG001
    """It listens on nothing that others reach."""
    return ()


def check(fleet: Fleet) -> Iterator[Problem]:
    """Systems that have no Compose v2, and an address that two repositories share."""
    for name, host in fleet.hosts.items():
        copies = (host.driver.repository, host.docker.toolkit.repository)
        if copies[0] is not None and copies[1] is not None and copies[0].url == copies[1].url:
            what = "apt trusts one key for each address, and the driver's repository has this one"
            hint = "give each of the two a folder of its own on the mirror"
            yield Problem(("hosts", name, "docker", "toolkit", "repository", "url"), what, hint)
        if "models" in host.roles and host.os not in _PACKAGES:
            what = f"{host.os} has no Compose v2, which hosts with the role `models` need"
            hint = f"install one of {', '.join(sorted(_PACKAGES))}; the role `gateway` is fine on {host.os}"
            yield Problem(("hosts", name, "os"), what, hint)


def _daemon(host: Host) -> dict[str, Any]:
    daemon: dict[str, Any] = {
        # Containers go on while the engine restarts for an update or a new setting.
        "live-restore": True,
        "log-driver": "local",
        # Always ours, also when empty: a registry taken out of the inventory is no longer trusted.
        "insecure-registries": sorted(host.docker.insecure_registries),
    }
    if host.gpus:
        daemon["features"] = {"cdi": True}  # the default only from Docker 28.3 on
        # With NVIDIA's for a default, every image that sets NVIDIA_VISIBLE_DEVICES=all sees every GPU.
        daemon["default-runtime"] = "runc"
    return daemon | _network(host.docker)


def _toolkit(host: Host) -> ToolkitSpec | None:
    wanted = host.docker.toolkit
    cards = [card for card in host.gpus.values() if card.use == "containers"]
    if not cards or wanted.install == "no" or host.driver.source == "none":
        return None
    named = [name for name, card in host.gpus.items() if card.use == "containers" and not host.mig(name)]
    named += [name for card in cards for name in card.instances]
    uuids = (uuid for name in named if (uuid := host.uuid(name)))
    return ToolkitSpec(
        source("stackctl-toolkit", repositories.toolkit(), wanted.repository),
        tuple(f"{name}={wanted.version}-1" for name in _TOOLKIT),
        tuple(sorted(uuids)),
    )


def _network(docker: Docker) -> dict[str, Any]:
    daemon: dict[str, Any] = {}
    if docker.address_pool is not None:
        base = docker.address_pool
        daemon["default-address-pools"] = [{"base": str(base), "size": max(base.prefixlen, 24)}]
    return daemon
