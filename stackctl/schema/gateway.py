"""The stable URLs in front of all models."""

from typing import Annotated

from pydantic import Field

from stackctl.core.model import Model


class Gateway(Model):
    """Settings of the gateway, the same on every host with that role."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """Port of the stable URLs on the gateway host's address."""
    metrics_port: Annotated[int, Field(ge=1, le=65535)] = 8404
    """Port of the gateway's own Prometheus metrics, at /metrics of the same address."""
    max_body: Annotated[int, Field(ge=1, le=256)] = 8
    """Largest request in MiB under /v1, where the body names the model and so is read before it is sent on.

    Raise it for pictures and recordings; every request that a model works on then takes as much memory.
    Requests under /m/MODEL may be of any size.
    """
    max_connections: Annotated[int, Field(ge=16, le=65536)] = 1024
    """Connections of clients at the same time; more of them wait until one is closed."""
    memory: Annotated[int, Field(ge=1, le=1024)] = 16
    """Memory in GiB that requests may fill at the worst; `validate` compares it with the settings above."""
    upload_timeout: Annotated[int, Field(ge=1, le=3600)] = 60
    """Seconds that a client has to send its request. Raise it for large recordings over slow lines."""
    queue_timeout: Annotated[int, Field(ge=1, le=3600)] = 60
    """Seconds that a request waits for a replica with room before it is answered with 503."""
    server_timeout: Annotated[int, Field(ge=10, le=86400)] = 600
    """Seconds that a replica may be silent. Raise it for long answers that are not streamed."""
