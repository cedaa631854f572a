"""The container engine."""

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Annotated

from pydantic import AfterValidator, Field

from stackctl.core.form import Form, Registry
from stackctl.core.model import Model
from stackctl.schema.secret import Secret
from stackctl.servers.base import once_each


class RegistryLogin(Model):
    """Credentials for one image registry."""

    user: Annotated[str, Form(r"[^\s:\"\\]+", "a login without spaces, colons, quotes")]
    """Login at the registry."""
    password: Secret
    """Where the password or access token is found; it may hold no double quote and no backslash."""


class Docker(Model):
    """Settings of the engine that depend on where the host stands."""

    insecure_registries: Annotated[tuple[Registry, ...], AfterValidator(once_each)] = ()
    """Registries without TLS, such as one of your own on a closed network."""
    registries: Mapping[Registry, RegistryLogin] = Field(default_factory=dict)
    """Logins by registry; one that serves everybody needs none. Docker Hub is `docker.io`."""
    address_pool: IPv4Network | None = None
    """Network that containers get addresses from; set it where Docker's 172.17.0.0/16 and on are in use."""
