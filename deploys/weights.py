"""Weights of models: on the host before anything is started on them."""

from collections.abc import Sequence

from pyinfra.api.deploy import deploy

from stackctl.capabilities.weights import UNIT, UNIT_FILE, WeightsSpec
from stackctl.core.artifact import Artifact
from stackctl.ops import apt, files, systemd
from stackctl.ops import weights as repositories


@deploy("weights")
def weights(spec: WeightsSpec, artifacts: Sequence[Artifact]) -> None:
    """What is served to other hosts is what has been fetched before, so that nobody waits for that."""
    files.present(
        name="check that the weights are there",
        paths=spec.brought,
        hint="copy the weights there, or correct `weights` of the model or of the host",
    )
    unit = [item for item in artifacts if item.path == UNIT_FILE]
    files.write(
        name="write what fetches weights", artifacts=[item for item in artifacts if item.path != UNIT_FILE]
    )
    if spec.serving is not None:
        files.directories(name="have a directory of weights", paths=[spec.hub, f"{spec.hub}/.partial"])
        apt.packages(name="install what serves weights", names=spec.serving.packages)
        written = files.write(name="write the unit that serves weights", artifacts=unit)
        systemd.service(
            name="serve weights to other hosts",
            unit=UNIT,
            defined_by=[UNIT_FILE],
            redefined=[written],
        )
    repositories.fetched(name="fetch the weights", spec=spec)
