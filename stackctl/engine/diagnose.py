"""What a failed command means: cause and way out, from the words of the programs that hosts run."""

import re
from dataclasses import dataclass

from stackctl.core.finding import Finding
from stackctl.engine.batch import TIMED_OUT, Answer, Command
from stackctl.ops import secret
from stackctl.ops.step import TOLD

_LINES = 25


@dataclass(frozen=True)
class Cause:
    """A pattern in a program's output, and what to say when it is there; `{0}` is its first group."""

    pattern: re.Pattern[str]
    what: str
    hint: str


CAUSES = (
    Cause(
        re.compile(
            r"No space left on device|You don't have enough free space|disk quota exceeded", re.IGNORECASE
        ),
        "the disk is full",
        "free some space (`df -h`, `docker system df`) and apply again; nothing is half-written",
    ),
    Cause(
        re.compile(r"Unable to locate package (\S+)"),
        "there is no package `{0}` in the host's sources",
        "check the name, or add the repository that has it",
    ),
    Cause(
        re.compile(r"Package '?(\S+?)'? has no installation candidate"),
        "package `{0}` has no installation candidate in the host's sources",
        "check the name, or add the repository that has it",
    ),
    Cause(
        re.compile(r"Version '(\S+)' for '(\S+)' was not found"),
        "the host's sources do not have version {0} of package `{1}`",
        "see `apt-cache policy {1}` on the host for what they have, and pin that",
    ),
    Cause(
        re.compile(
            r"(?:Signing key on ([0-9A-F]{16,40}) is not bound[\s\S]*?)?SHA1 is not considered secure"
        ),
        "apt on this host refuses signatures of key {0}, which vouches for itself with SHA-1",
        "use a repository that is signed with a newer key, and write that one's `key` and `fingerprint`; of NVIDIA's "
        "each system has its own, so `os` may be wrong",
    ),
    Cause(
        re.compile(r"Conflicting values set for option Signed-By regarding source (\S+)"),
        "apt has {0} in two lists that trust different keys",
        "remove the older file below /etc/apt/sources.list.d on the host, or write `driver: {{leftovers: remove}}`",
    ),
    Cause(
        re.compile(r"NO_PUBKEY ([0-9A-F]+)|Missing key ([0-9A-F]+), which is needed to verify signature"),
        "the repository is signed with another key than the one that is trusted for it",
        "write the `key` and `fingerprint` of the key that it is signed with, verified by another way",
    ),
    Cause(
        re.compile(r"(?:held by process|locked by another process)[: ]*(\d+ ?(?:\([^)]*\))?)?"),
        "another process ({0}) has kept apt locked for too long",
        "wait until it has ended, or end it on the host, then apply again",
    ),
    Cause(
        re.compile(r"Could not get lock (\S+)"),
        "another process has kept {0} locked for too long",
        "wait until it has ended, or end it on the host, then apply again",
    ),
    Cause(
        re.compile(
            r"manifest (?:for \S+ not found|unknown)|repository does not exist|name unknown", re.IGNORECASE
        ),
        "the registry does not have this image",
        "check the image's name and tag in inventory/models.yaml",
    ),
    Cause(
        re.compile(r"unauthorized|authentication required|(?<!permission )denied: ", re.IGNORECASE),
        "the registry refuses these credentials",
        "check `docker.registries` in the inventory",
    ),
    Cause(
        re.compile(r"server gave HTTP response to HTTPS client"),
        "the registry speaks plain HTTP",
        "list it under `docker.insecure_registries`, or give it a certificate",
    ),
    Cause(
        re.compile(
            r"Temporary failure resolving|Could not resolve|no such host|Could not connect to|connection refused"
            r"|i/o timeout|Network is unreachable",
            re.IGNORECASE,
        ),
        "the host cannot reach what it needs",
        "check its network, its name servers and its proxy; the lines above name the address",
    ),
    Cause(
        re.compile(r"address already in use|port is already allocated", re.IGNORECASE),
        "something else on the host uses this port",
        "see `ss -ltnp` on the host; move it, or give the placement another `port`",
    ),
    Cause(
        re.compile(
            r"compose' is not a docker command|unknown shorthand flag: 'p' in -p|unknown command: docker compose"
        ),
        "Docker has no Compose on this host",
        "install the Compose plugin that belongs to this Docker, then apply again",
    ),
    Cause(
        re.compile(r"Read-only file system"),
        "the host's disk is read-only",
        "see the kernel's log on the host; the disk may be failing",
    ),
)
"""First match wins, so the more telling come first."""


def failure(where: str, answer: Answer, command: Command, hint: str | None) -> Finding:
    """The finding for a command that exited with an error."""
    output = secret.mask("\n".join(filter(None, (answer.stdout.strip(), answer.stderr.strip()))))
    lines = tuple(line.rstrip() for line in output.splitlines() if line.strip())[-_LINES:]
    if answer.status == TIMED_OUT:
        return Finding(where, f"took longer than {command.seconds} s and was ended", hint, lines)
    if answer.status == TOLD and lines:
        return Finding(where, lines[0], hint, lines[1:])
    for cause in CAUSES:
        match = cause.pattern.search(output)
        if match is not None:
            groups = [group or "unknown" for group in match.groups()]
            return Finding(where, cause.what.format(*groups), cause.hint.format(*groups), lines)
    return Finding(
        where,
        f"failed with exit status {answer.status}",
        hint or "the lines above are what the host said",
        lines,
    )
