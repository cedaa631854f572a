"""The hosts' own network, by one of several backends."""

from collections.abc import Sequence

from pyinfra.api.deploy import deploy

from stackctl.capabilities.mesh import MeshSpec
from stackctl.core.artifact import Artifact
from stackctl.mesh.wireguard import WireguardSpec


@deploy("mesh")
def mesh(spec: MeshSpec, artifacts: Sequence[Artifact]) -> None:
    """The backend that is set."""
    if spec.wireguard is not None:
        _wireguard(spec.wireguard, artifacts)


def _wireguard(spec: WireguardSpec, artifacts: Sequence[Artifact]) -> None:
    """Programs first, then the host's key, then the interface."""
