"""The container engine."""

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from stackctl.core.form import Form, Registry
from stackctl.core.model import Model
from stackctl.nvidia.repositories import TOOLKIT_VERSION
from stackctl.schema.repository import Repository
from stackctl.schema.secret import Secret
from stackctl.servers.base import once_each


class RegistryLogin(Model):
    """Credentials for one image registry."""

    user: Annotated[str, Form(r"[^\s:\"\\]+", "a login without spaces, colons, quotes")]
    """Login at the registry."""
    password: Secret
    """Where the password or access token is found; it may hold no double quote and no backslash."""


class Toolkit(Model):
    """NVIDIA's Container Toolkit, which describes GPUs to the engine."""

    install: Literal["auto", "no"] = "auto"
    """`auto`: where the host has GPUs for containers; `no`: somebody else installs it."""
    version: Annotated[str, Form(r"[1-9][0-9]*\.[0-9]+\.[0-9]+", "a version, such as `1.20.0`")] = (
        TOOLKIT_VERSION
    )
    """All of its packages are of this version, and stay there."""
    repository: Repository | None = None
    """Copy of NVIDIA's repository for hosts that do not reach it."""


class Docker(Model):
    """Settings of the engine that depend on where the host stands."""

    insecure_registries: Annotated[tuple[Registry, ...], AfterValidator(once_each)] = ()
    """Registries without TLS, such as one of your own on a closed network."""
    registries: Mapping[Registry, RegistryLogin] = Field(default_factory=dict)
    """Logins by registry; one that serves everybody needs none. Docker Hub is `docker.io`."""
    toolkit: Toolkit = Toolkit()
    """NVIDIA's Container Toolkit."""
    address_pool: IPv4Network | None = None
    """Network that containers get addresses from; set it where Docker's 172.17.0.0/16 and on are in use."""
