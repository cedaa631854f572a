"""The hosts' own network, by one of several backends."""

from collections.abc import Sequence

from pyinfra.api.deploy import deploy

from stackctl.capabilities.mesh import MeshSpec
from stackctl.core.artifact import Artifact
from stackctl.mesh import tailscale as daemon
from stackctl.mesh import wireguard as rendered
from stackctl.mesh.existing import ExistingSpec
from stackctl.mesh.nebula import (
    AUTHORITY_FILE,
    CERTIFICATE_FILE,
    CHECK,
    DEVICE_FILE,
    PACKAGES,
    PEERS_FILE,
    UNIT,
    UNIT_FILE,
    NebulaSpec,
)
from stackctl.mesh.tailscale import TailscaleSpec
from stackctl.mesh.wireguard import WireguardSpec
from stackctl.ops import (
    apt,
    files,
    forwarding,
    interface,
    machine,
    nebula,
    repository,
    systemd,
    tailscale,
    wireguard,
)
from stackctl.ops.step import Guard


@deploy("mesh")
def mesh(spec: MeshSpec, artifacts: Sequence[Artifact]) -> None:
    """The backend that is set, where no other one is left."""
    interface.unclaimed(
        name="check that nothing else has its address", address=str(spec.address), interface=spec.device
    )
    if spec.wireguard is not None:
        _wireguard(spec.wireguard, {artifact.path: artifact for artifact in artifacts})
    if spec.nebula is not None:
        _nebula(spec.nebula, artifacts)
    if spec.tailscale is not None:
        _tailscale(spec.tailscale, artifacts)
    if spec.existing is not None:
        _existing(spec.existing, artifacts)
    forwarding.passed_on(
        name="pass packets on past Docker",
        device=spec.device,
        networks=spec.passes,
        kept=rendered.FORWARD_FILE,
        hub=spec.hub,
    )


def _wireguard(spec: WireguardSpec, named: dict[str, Artifact]) -> None:
    """Programs first, then the host's own key, then the interface."""
    config = named.pop(rendered.config_file(spec.device))
    apt.packages(name="install WireGuard", names=rendered.PACKAGES)
    wireguard.implementation(name="have an implementation of WireGuard")
    own = rendered.parted(named.values())
    files.write(name="write what looks after the mesh", artifacts=own.programs)
    units = files.write(name="write the mesh's units", artifacts=own.units)
    if spec.forwards:
        machine.sysctl(name="pass packets on", values=rendered.FORWARD)
    wireguard.key(name="have the host's key", spec=spec)
    wireguard.interface(name="run the mesh", spec=spec, config=config)
    systemd.service(
        name="export how the mesh is",
        unit="stackctl-mesh.timer",
        defined_by=[rendered.METRICS_TIMER, rendered.METRICS_UNIT],
        redefined=[units],
    )


def _existing(spec: ExistingSpec, artifacts: Sequence[Artifact]) -> None:
    """What its host passes on is ours, all else somebody else's."""
    interface.present(name="check that the interface is there", interface=spec.device, address=spec.address)
    if spec.forwards:
        files.write(name="pass packets on after a boot", artifacts=artifacts)
        machine.sysctl(name="pass packets on", values=rendered.FORWARD)


def _nebula(spec: NebulaSpec, artifacts: Sequence[Artifact]) -> None:
    """The certificate before the settings that name it, which are judged with it; an earlier key goes last."""
    guard = Guard(
        "mesh", (AUTHORITY_FILE, CERTIFICATE_FILE, DEVICE_FILE, PEERS_FILE, UNIT_FILE), nebula.RESTORE
    )
    own = {artifact.path: artifact for artifact in artifacts}
    apt.packages(name="install nebula", names=PACKAGES)
    if spec.subnets:
        files.write(name="pass packets on after a boot", artifacts=[own[rendered.FORWARD_FILE]])
        machine.sysctl(name="pass packets on", values=rendered.FORWARD)
    nebula.keyed(name="have a key of its own", spec=spec)
    trusted = files.write(name="trust the authority", artifacts=[own[AUTHORITY_FILE]], guard=guard)
    signed = nebula.certified(name="have a certificate of the authority's", spec=spec, guard=guard)
    peers = files.write(name="write who is asked", artifacts=[own[PEERS_FILE]], check=CHECK, guard=guard)
    device = files.write(
        name="write the mesh's interface",
        artifacts=[own[DEVICE_FILE], own[UNIT_FILE]],
        check=CHECK,
        guard=guard,
    )
    systemd.service(
        name="run the mesh",
        unit=UNIT,
        reads=[AUTHORITY_FILE, CERTIFICATE_FILE, PEERS_FILE],
        on_change="reload",
        after=[trusted, signed, peers],
        defined_by=[UNIT_FILE, DEVICE_FILE],
        redefined=[device],
        guard=guard,
    )
    nebula.forgotten(name="forget earlier keys", spec=spec)


def _tailscale(spec: TailscaleSpec, artifacts: Sequence[Artifact]) -> None:
    """Settings come before the package, so that the daemon starts with them; the server says the address last."""
    guard = Guard("mesh", (daemon.STATE_FILE,), tailscale.RESTORE)
    apt.packages(name="install what judges keys", names=["gpg"])
    repository.repository(
        name="trust Tailscale's repository",
        stem="stackctl-tailscale",
        url=spec.source.url,
        key_url=spec.source.key,
        fingerprint=spec.source.fingerprint,
        suite=spec.source.suite,
        components=spec.source.components,
    )
    settings = files.write(name="write the daemon's settings", artifacts=artifacts)
    if spec.routes:
        machine.sysctl(name="pass packets on", values=rendered.FORWARD)
    apt.packages(name="install Tailscale", names=daemon.PACKAGES)
    systemd.service(
        name="run the mesh",
        unit=daemon.UNIT,
        reads=[daemon.SETTINGS_FILE],
        after=[settings],
        guard=guard,
    )
    tailscale.joined(name="join", spec=spec, guard=guard)
    tailscale.addressed(name="check the address", spec=spec)
