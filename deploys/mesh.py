"""The hosts' own network, by one of several backends."""

from collections.abc import Sequence

from pyinfra.api.deploy import deploy

from stackctl.capabilities.mesh import MeshSpec
from stackctl.core.artifact import Artifact
from stackctl.mesh import wireguard as rendered
from stackctl.mesh.wireguard import WireguardSpec
from stackctl.ops import apt, files, machine, systemd, wireguard


@deploy("mesh")
def mesh(spec: MeshSpec, artifacts: Sequence[Artifact]) -> None:
    """The backend that is set."""
    if spec.wireguard is not None:
        _wireguard(spec.wireguard, {artifact.path: artifact for artifact in artifacts})


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
