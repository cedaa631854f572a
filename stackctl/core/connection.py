"""How a host is reached, with nothing left to decide."""

from dataclasses import dataclass

from stackctl.core.secret import SecretRef


@dataclass(frozen=True)
class Connection:
    """One host's way in. Where a value is None, `~/.ssh/config` and OpenSSH's defaults decide."""

    host: str
    """The host's name in the inventory."""
    address: str
    """Host name or address to dial; also looked up as a `Host` in `~/.ssh/config`."""
    port: int | None = None
    user: str | None = None
    identity: str | None = None
    """Private key file; the agent and `~/.ssh/config` are asked where it is None."""
    known_hosts: tuple[str, ...] = ()
    """Files of trusted host keys, read in order; a key that the operator accepts is appended to the first."""
    host_keys: tuple[str, ...] = ()
    """Keys pinned in the inventory (`ssh-ed25519 AAAA...`); when given, nothing else is trusted."""
    jump: tuple[str, ...] = ()
    """Hosts to hop through, `[user@]host[:port]`, first hop first."""
    sudo: bool = False
    """Become root with sudo; without it the login is root's."""
    sudo_password: SecretRef | None = None
    namespace: str | None = None
    """Network namespace of the operator's machine to dial from; the lab's hosts live in one."""
    timeout: int = 10
    """Seconds to connect and log in."""
