"""Where models run."""

from typing import Annotated

from pydantic import AfterValidator, Field

from stackctl.core.form import Form
from stackctl.core.model import Model
from stackctl.servers.base import once_each

CPU = "cpu"
Device = Annotated[str, Form(r"[a-z0-9]+", "a name under the host's `gpus`, or `cpu`")]


class Placement(Model):
    """One replica of a model on one host."""

    host: str
    """Name of a host with the role `models`."""
    devices: Annotated[tuple[Device, ...], Field(min_length=1), AfterValidator(once_each)]
    """GPUs of that host by their names there, or `cpu`. The one thing that differs between environments."""
    port: Annotated[int, Field(ge=1024, le=65535)] | None = None
    """Port on the host's address; needed where two replicas on a host would take the same one."""
