"""The stable URLs in front of all models."""

from typing import Annotated

from pydantic import Field

from stackctl.core.model import Model


class Gateway(Model):
    """Settings of the gateway, the same on every host with that role."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """Port of the stable URLs on the gateway host's address."""
