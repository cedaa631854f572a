"""An environment of virtual hosts on this machine."""

from typing import Annotated

from pydantic import AfterValidator

from stackctl.core.form import Form
from stackctl.core.model import Model
from stackctl.servers.base import once_each

LabImage = Annotated[str, Form(r"[a-z0-9][a-z0-9-]*", "the name of an image that the lab can build")]


class Lab(Model):
    """Its presence makes the environment a lab: `stackctl lab up` makes the hosts and the way to them."""

    images: Annotated[tuple[LabImage, ...], AfterValidator(once_each)] = ()
    """Images to build besides those that the placements use."""
