"""Where models run."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from stackctl.core.form import Form
from stackctl.core.model import Model
from stackctl.servers.base import once_each

CPU = "cpu"
SIZES = ("context", "concurrency", "max_num_seqs", "tensor_parallel")
"""Settings of a server that an environment may choose; all others are the catalogue's."""
Device = Annotated[str, Form(r"[a-z0-9]+", "a name under the host's `gpus`, or `cpu`")]


class Placement(Model):
    """One replica of a model on one host."""

    host: str
    """Name of a host with the role `models`."""
    devices: Annotated[tuple[Device, ...], Field(min_length=1), AfterValidator(once_each)]
    """GPUs of that host by their names there, or `cpu`. The one thing that differs between environments."""
    port: Annotated[int, Field(ge=1024, le=65535)] | None = None
    """Port on the host's address; needed where two replicas on a host would take the same one."""
    context: Annotated[int, Field(ge=1)] | None = None
    """Longest prompt and answer together, in tokens, in place of the catalogue's: what fits these devices."""
    concurrency: Annotated[int, Field(ge=1)] | None = None
    """Requests of full context that are to be worked on at the same time, in place of the catalogue's."""
    max_num_seqs: Annotated[int, Field(ge=1)] | None = None
    """Requests worked on at the same time, however short, in place of the catalogue's."""
    tensor_parallel: Annotated[int, Field(ge=1, le=64)] | None = None
    """Devices that this replica is spread over, in place of the catalogue's; `devices` then names as many."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """The sizes that it has in place of the catalogue's, by the catalogue's names."""
        given = {name: getattr(self, name) for name in SIZES}
        return {name: value for name, value in given.items() if value is not None}
