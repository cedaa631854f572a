"""How a host is reached."""

from typing import Annotated

from pydantic import Field

from stackctl.core.form import Form
from stackctl.core.model import Model
from stackctl.schema.secret import Secret

HostKey = Annotated[
    str,
    Form(
        r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+={0,3}( \S+)?",
        "a line of /etc/ssh/ssh_host_*_key.pub, such as `ssh-ed25519 AAAA...`",
    ),
]
Hop = Annotated[
    str, Form(r"([A-Za-z0-9._-]+@)?[A-Za-z0-9.-]+(:[0-9]{1,5})?", "`host`, `user@host` or `user@host:port`")
]
Destination = Annotated[str, Form(r"[A-Za-z0-9][A-Za-z0-9._-]*", "a host name or an IPv4 address")]


class Ssh(Model):
    """The way in; what is left out is taken from `~/.ssh/config` and OpenSSH's defaults."""

    address: Destination | None = None
    """Name or address to dial where it is not `address`: behind NAT, or a `Host` of `~/.ssh/config`."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of sshd, where it is not 22."""
    user: Annotated[str, Form(r"[a-z_][a-z0-9_-]*", "a Unix user's name")] | None = None
    """Login; anyone but root also needs `sudo: true`."""
    identity: Annotated[str, Form(r"(~/|/)\S+", "a path from `/` or `~/`")] | None = None
    """Private key file on the operator's machine; the agent and the default keys are tried without it."""
    host_keys: tuple[HostKey, ...] = ()
    """Pinned host keys; when given, no other key is trusted and `known_hosts` is not read."""
    jump: tuple[Hop, ...] = ()
    """Hosts to hop through, first hop first."""
    sudo: bool = False
    """Become root with sudo after the login."""
    sudo_password: Secret | None = None
    """Where sudo's password is found; leave out where sudo asks for none."""
    timeout: Annotated[int, Field(ge=1, le=300)] = 10
    """Seconds to connect and log in; raise it for a slow or distant host."""
