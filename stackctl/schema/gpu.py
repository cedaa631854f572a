"""A host's GPUs."""

from typing import Annotated

from stackctl.core.form import Form
from stackctl.core.model import Model

GpuName = Annotated[str, Form(r"(?!cpu$)[a-z0-9]+", "lower-case letters and digits, not `cpu`")]


class Gpu(Model):
    """One GPU, under the short name that placements use."""

    uuid: Annotated[
        str,
        Form(
            r"GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
            "`GPU-` and a UUID, as `nvidia-smi -L` prints it",
        ),
    ]
    """UUID of the card. It names the same card after a reboot, a move to another slot and a driver update."""
