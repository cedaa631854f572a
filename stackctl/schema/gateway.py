"""The stable URLs in front of all models."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from stackctl.core.access import RATE
from stackctl.core.form import DomainName, Form, ModelName
from stackctl.core.model import Model
from stackctl.schema.secret import Secret
from stackctl.servers.base import once_each

KeyName = Annotated[
    str, Form(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "lower-case letters, digits and hyphens, 63 at most")
]
Rate = Annotated[
    str,
    Form(
        RATE,
        "how many requests in a second, minute, hour or day: `5/s`, `60/m`, `1000/h`, `5000/d`",
    ),
]
HeaderName = Annotated[
    str, Form(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62})", "a header's name, such as `x-session-id`")
]
Megabytes = Annotated[int, Field(ge=1, le=256)]
Seconds = Annotated[int, Field(ge=1, le=3600)]
Silence = Annotated[int, Field(ge=10, le=86400)]
Waiting = Annotated[int, Field(ge=1, le=65536)]


def _hash(text: str) -> str:
    """What is no hash may be the key itself, so it is refused without a word of it."""
    if re.fullmatch(r"[0-9a-f]{64}", text) is None:
        hint = "write 64 lower-case hexadecimal digits, as `printf %s KEY | sha256sum` prints them"
        raise PydanticCustomError("hash", "is no SHA-256", {"hint": hint})
    return text


class ApiKey(Model):
    """A key that clients show the gateway, and what it may do; `secret` or `sha256` says which key it is."""

    secret: Secret | None = None
    """Where the key is found. Its SHA-256 alone reaches the gateways, so it is long and random: 20 characters at least."""
    sha256: Annotated[str, AfterValidator(_hash)] | None = None
    """SHA-256 of the key in hexadecimal, in place of `secret` where only its owner is to have the key."""
    models: Annotated[tuple[ModelName, ...], Field(min_length=1), AfterValidator(once_each)] | None = None
    """Models that it may use; all where this is left out, those of later times included."""
    rate: Rate | None = None
    """Requests to models that it may make in a time, such as `60/m`; more are answered with 429.

    Each gateway counts for itself, and from zero after a reload.
    """

    @model_validator(mode="after")
    def _one(self) -> "ApiKey":
        if (self.secret is None) == (self.sha256 is None):
            hint = "write one: a reference to the key, or its hash"
            raise PydanticCustomError("api_key", "needs exactly one of `secret` and `sha256`", {"hint": hint})
        return self


class Tls(Model):
    """What the gateway proves itself with to clients, who then reach it by HTTPS alone."""

    certificate: Secret
    """Where the certificate is found, in PEM, with those that it was signed by behind it."""
    key: Secret
    """Where its private key is found, in PEM and without a passphrase."""
    ca: Secret | None = None
    """Where the certificates are found that `stackctl ask` trusts; those of your machine where this is left out."""
    name: DomainName | None = None
    """Name by which clients reach the gateway and for which the certificate is; its address where this is left out."""


class ModelRoute(Model):
    """What the gateway does otherwise with the requests for one model."""

    max_body: Megabytes | None = None
    """Largest request in MiB, under /v1 and under /m/MODEL alike."""
    server_timeout: Silence | None = None
    """Seconds that a replica may be silent."""
    queue_timeout: Seconds | None = None
    """Seconds that a request waits for a replica with room before it is answered with 503."""
    queue: Waiting | None = None
    """Requests that may wait for a replica with room; one more is answered with 503 at once."""
    balance: Literal["least-busy", "sticky"] = "least-busy"
    """`sticky`: what belongs together goes to one replica, which then has its beginning in its cache, unless that
    replica has half as much again to do as the others. Together belong requests of one `session_header`, else of one
    `prompt_cache_key` or `user` in the body, else with one beginning."""
    session_header: HeaderName = "x-session-id"
    """Header that tells a session, with `balance: sticky`."""
    prefix: Annotated[int, Field(ge=16, le=65536)] = 1024
    """Bytes of the body that count as its beginning, with `balance: sticky`."""


class Gateway(Model):
    """Settings of the gateway, the same on every host with that role."""

    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """Port of the stable URLs on the gateway host's address."""
    metrics_port: Annotated[int, Field(ge=1, le=65535)] = 8404
    """Port of the gateway's own Prometheus metrics, at /metrics of the same address."""
    keys: Mapping[KeyName, ApiKey] = Field(default_factory=dict)
    """Keys by name, one for each client. Without any, all who reach the gateway may use all models."""
    tls: Tls | None = None
    """Has the models' URLs answer by HTTPS."""
    models: Mapping[ModelName, ModelRoute] = Field(default_factory=dict)
    """Settings of single models, by name, in place of those below."""
    max_body: Megabytes = 8
    """Largest request in MiB under /v1, where the body names the model and so is read before it is sent on.

    Raise it for pictures and recordings; every request that a model works on then takes as much memory.
    Requests under /m/MODEL may be of any size, unless the model has a `max_body` of its own.
    """
    max_connections: Annotated[int, Field(ge=16, le=65536)] = 1024
    """Connections of clients at the same time; more of them wait until one is closed."""
    memory: Annotated[int, Field(ge=1, le=1024)] = 16
    """Memory in GiB that requests may fill at the worst; `validate` compares it with the settings above."""
    upload_timeout: Seconds = 60
    """Seconds that a client has to send its request. Raise it for large recordings over slow lines."""
    queue: Waiting = 1024
    """Requests for one model that may wait for a replica with room; one more is answered with 503 at once."""
    queue_timeout: Seconds = 60
    """Seconds that a request waits for a replica with room before it is answered with 503."""
    server_timeout: Silence = 600
    """Seconds that a replica may be silent. Raise it for long answers that are not streamed."""
