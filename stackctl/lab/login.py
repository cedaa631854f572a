"""Logging in to a host over SSH, as the operator does."""

from stackctl.lab.shell import inside
from stackctl.lab.spec import LabHost, LabSpec

_QUOTED = 'ssh=("${@:2:$1}"); rest=("${@:2+$1}"); exec "${ssh[@]}" "${rest[*]@Q}"'
"""Runs the first `$1` words with the others as one, of which the shell at the far end makes the same words."""


def words(spec: LabSpec, host: LabHost, user: str, *options: str) -> list[str]:
    """The command that logs in; whatever is added to it is read by a shell on the host."""
    settings = (
        f"UserKnownHostsFile={spec.known_hosts}",
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
        *options,
    )
    flags = [word for setting in settings for word in ("-o", setting)]
    command = ["ssh", "-i", str(spec.key), *flags, f"{user}@{host.address}"]
    return [str(word) for word in inside(spec.namespace("operator"), command)]


def entering(spec: LabSpec, host: LabHost, *, terminal: bool) -> list[str]:
    """Words before a command that run it on the host as root, with the same words there."""
    options = ["BatchMode=yes", "ConnectTimeout=60", "LogLevel=ERROR"]
    ssh = words(spec, host, "root", *options, f"RequestTTY={'yes' if terminal else 'no'}")
    return ["bash", "-c", _QUOTED, "ssh", str(len(ssh)), *ssh]
