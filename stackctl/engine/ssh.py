"""Log in over SSH as the operator's own `ssh` would, with every host key verified."""

import logging
import os
import re
import socket
from pathlib import Path
from typing import Any

import paramiko

from stackctl.core.connection import Connection
from stackctl.core.finding import Finding, FindingsError
from stackctl.engine import hostkeys
from stackctl.engine.dial import dial, through
from stackctl.engine.sshconfig import settings_of

# paramiko logs tracebacks of failures that it also raises; a user must not see them.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False

_KEEPALIVE_SECONDS = 10
_HOP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<bracketed>[^]]+)\]|(?P<plain>[^:@]+|[0-9A-Fa-f:]+(?:%\w+)?))"
    r"(?::(?P<port>\d+))?/?"
)


def connect(connection: Connection, config: Path | None = None) -> list[paramiko.SSHClient]:
    """Connect through every hop; the last client is the host's.

    FindingsError says why not; UnknownKeyError asks for trust in a key.
    """
    settings = settings_of(connection, config)
    hops = connection.jump or tuple(
        hop.strip() for hop in settings.get("proxyjump", "").split(",") if hop and hop != "none"
    )
    clients: list[paramiko.SSHClient] = []
    try:
        for hop in hops:
            clients.append(_login(_hop(connection, hop), config, clients))
        clients.append(_login(connection, config, clients))
    except BaseException:
        for client in reversed(clients):
            client.close()
        raise
    return clients


def _hop(connection: Connection, text: str) -> Connection:
    parts = _HOP.fullmatch(text)
    if parts is None:
        raise _finding(connection, f"`{text}` is not a host to jump through", "write `[user@]host[:port]`")
    return Connection(
        connection.host,
        parts["bracketed"] or parts["plain"],
        int(parts["port"]) if parts["port"] else None,
        parts["user"],
        identity=connection.identity,
        known_hosts=connection.known_hosts,
        namespace=connection.namespace,
        timeout=connection.timeout,
    )


def _login(
    connection: Connection, config: Path | None, before: list[paramiko.SSHClient]
) -> paramiko.SSHClient:
    settings = settings_of(connection, config)
    address = settings.get("hostname", connection.address)
    port = connection.port or int(settings.get("port", 22))
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(hostkeys.Refuse(connection))
    try:
        hostkeys.load(client, connection, address if port == 22 else f"[{address}]:{port}")
        client.connect(
            address,
            port,
            username=connection.user or settings.get("user"),
            key_filename=_identities(connection, settings),
            allow_agent=settings.get("identitiesonly") != "yes",
            look_for_keys=connection.identity is None,
            sock=_socket(connection, address, port, settings, before),
            timeout=connection.timeout,
            banner_timeout=connection.timeout,
            auth_timeout=connection.timeout,
        )
    except (paramiko.SSHException, EOFError, OSError, UnicodeError) as error:
        client.close()
        raise _explained(connection, address, port, error) from error
    except BaseException:
        client.close()
        raise
    transport = client.get_transport()
    if transport is not None:
        transport.set_keepalive(_KEEPALIVE_SECONDS)
    return client


def _identities(connection: Connection, settings: dict[str, Any]) -> Any:
    if connection.identity is not None:
        return [_expanded(connection.identity)]
    return [path for path in settings.get("identityfile", []) if Path(path).exists()]


def _expanded(path: str | None) -> str | None:
    return None if path is None else str(Path(path).expanduser())


def _socket(
    connection: Connection,
    address: str,
    port: int,
    settings: dict[str, Any],
    before: list[paramiko.SSHClient],
) -> Any:
    if before:
        transport = before[-1].get_transport()
        if transport is None:
            raise EOFError("the hop before closed")
        return transport.open_channel(
            "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=connection.timeout
        )
    command = settings.get("proxycommand")
    if command and command != "none" and connection.namespace is None:
        return through(command)
    return dial(address, port, timeout=connection.timeout, namespace=connection.namespace)


def _explained(connection: Connection, address: str, port: int, error: Exception) -> FindingsError:
    at = f"{address} port {port}"
    if isinstance(error, paramiko.BadHostKeyException):
        return _finding(
            connection,
            f"the host key of {at} is not the one on record: someone may be in between, or the host was reinstalled",
            f"ask who changed it; when it is right, replace it {_record(connection, address)}",
        )
    if isinstance(error, paramiko.PasswordRequiredException):
        return _finding(connection, "the private key has a passphrase", "add it to your agent with `ssh-add`")
    if isinstance(error, paramiko.AuthenticationException):
        return _finding(
            connection,
            f"{at} accepts none of your keys: {error}",
            "check `user` and `identity` under `ssh`, and the host's authorized_keys",
        )
    if isinstance(error, FileNotFoundError) and error.filename == _expanded(connection.identity):
        return _finding(
            connection, f"the private key {error.filename} does not exist", "check `identity` under `ssh`"
        )
    if isinstance(error, OSError) and isinstance(error.filename, str):
        what = f"{error.filename} cannot be read: {_reason(error)}"
        return _finding(connection, what, "check that file and its mode on this machine")
    if isinstance(error, TimeoutError | socket.timeout):
        what = f"{at} does not answer within {connection.timeout} s"
    else:
        what = f"{at} cannot be reached: {_reason(error)}"
    return _finding(
        connection, what, "check that the host is up and the address right; the other hosts go on"
    )


def _record(connection: Connection, address: str) -> str:
    if connection.host_keys or not connection.known_hosts:
        return "under `host_keys` in the inventory"
    return f"on the line of `{address}` in {connection.known_hosts[0]}"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        # the resolver's own numbers are negative, and unknown to `os.strerror`
        return (os.strerror(error.errno) if error.errno > 0 else error.strerror or str(error)).lower()
    return str(error) or "the connection closed"


def _finding(connection: Connection, what: str, hint: str) -> FindingsError:
    return FindingsError(Finding(connection.host, what, hint))
