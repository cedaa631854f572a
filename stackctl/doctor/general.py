"""The rungs that every host has: its system, lock, clock, disks, units, receipt, engine and containers."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from stackctl.capabilities.docker import DockerSpec
from stackctl.capabilities.serving import ServingSpec
from stackctl.capabilities.system import SystemSpec
from stackctl.core.finding import Finding
from stackctl.core.job import Job
from stackctl.doctor.rung import Rung, judged
from stackctl.plan.receipt import Receipt

Spec = TypeVar("Spec")

_FULL = 90
"""Percent of a disk from which on it is told."""


@dataclass(frozen=True)
class Look:
    """What a host shows of itself."""

    system: str = ""
    """`debian-13`."""
    at_work: str | None = None
    """Who holds the host's lock; None: nobody."""
    synchronised: bool | None = None
    disks: Mapping[str, int] = field(default_factory=dict)
    """Percent that is taken, by mount point."""
    failed: tuple[str, ...] = ()
    """Units that systemd calls failed."""
    engine: str | None = None
    """Version of Docker; None: it does not answer, or is not there."""
    compose: str | None = None
    """Version of Compose; None: it does not answer, or is not there."""
    containers: Mapping[str, str] = field(default_factory=dict)
    """Docker's word for the state of each of our containers."""


@dataclass(frozen=True)
class Records:
    """What the last apply left of itself, and what the inventory wants by now."""

    receipt: Receipt | None
    wanted: Mapping[str, str]
    """Fingerprints, as the receipt has them."""


def script(job: Job) -> str:
    """Reads, and changes nothing."""
    places = ["/", *(["/var/lib/docker"] if _of(job, DockerSpec) else [])]
    serving = _of(job, ServingSpec)
    places += serving.weights if serving else ()
    return _SCRIPT.replace("@PLACES@", shlex.join(places))


def read(text: str) -> Look:
    """What the script printed: a word and what it is about on each line."""
    rows = [line.partition(" ")[::2] for line in text.splitlines()]
    told = dict(rows)
    disks = dict(rest.split(" ", 1)[::-1] for word, rest in rows if word == "disk" and " " in rest)
    return Look(
        told.get("system", ""),
        _holder(told["lock"]) if "lock" in told else None,
        {"yes": True, "no": False}.get(told.get("clock", "")),
        {
            place: int(percent.rstrip("%"))
            for place, percent in disks.items()
            if percent.rstrip("%").isdigit()
        },
        tuple(rest for word, rest in rows if word == "failed"),
        told.get("engine") or None,
        told.get("compose") or None,
        dict(sorted(rest.split(" ", 1) for word, rest in rows if word == "container" and " " in rest)),
    )


# The lock is only tried, shared and for no longer than that takes; whoever applies waits longer for it.
_SCRIPT = r"""(. /etc/os-release && printf 'system %s-%s\n' "$ID" "$VERSION_ID")
lock=$STACKCTL_RUN/lock
[ ! -e "$lock" ] || flock -sn "$lock" true || printf 'lock %s\n' "$(head -n 1 "$lock")"
printf 'clock %s\n' "$(timedatectl show -p NTPSynchronized --value 2>/dev/null)"
df --output=pcent,target -- @PLACES@ 2>/dev/null |
  sed -n '2,$p' | sort -u | while read -r percent place; do printf 'disk %s %s\n' "$percent" "$place"; done
systemctl list-units --failed --plain --no-legend 2>/dev/null | while read -r unit rest; do printf 'failed %s\n' "$unit"; done
if command -v docker >/dev/null 2>&1; then
  printf 'engine %s\n' "$(timeout 20 docker version --format '{{.Server.Version}}' 2>/dev/null)"
  printf 'compose %s\n' "$(timeout 20 docker compose version --short 2>/dev/null)"
  timeout 20 docker ps -a --filter label=com.docker.compose.project=stackctl \
    --format '{{.Label "com.docker.compose.service"}} {{.State}} {{.Status}}' 2>/dev/null | sed 's/^/container /'
fi
true
"""


def rungs(job: Job, look: Look, records: Records) -> tuple[Rung, ...]:
    """Each with its findings."""
    system, disks = _of(job, SystemSpec), ", ".join(f"{at} {taken} %" for at, taken in look.disks.items())
    found = [_lock(job, look)]
    if system:
        found.insert(0, _rung(job, "system", look.system, _system(look, system.os)))
    if system and system.timesyncd:  # else the clock is not stackctl's to keep
        found.append(_rung(job, "clock", "synchronised", _clock(look)))
    found += [
        _rung(job, "disks", disks, _disks(look)),
        _rung(job, "units", "none has failed", _units(look)),
        _receipt(job, records),
    ]
    if _of(job, DockerSpec):
        found.append(_rung(job, "engine", f"Docker {look.engine}, Compose {look.compose}", _engine(look)))
        told = ", ".join(f"{name} {state.partition(' ')[0]}" for name, state in look.containers.items())
        found.append(_rung(job, "containers of models", told or "none", _containers(look)))
    return tuple(found)


Wrong = list[tuple[str, str]]
"""What is wrong, and the way out."""


def _of(job: Job, kind: type[Spec]) -> Spec | None:
    return next((part.spec for part in job.parts if isinstance(part.spec, kind)), None)


def _rung(job: Job, name: str, told: str, wrong: Wrong) -> Rung:
    return judged(name, told, [Finding(f"{job.host} · {name}", what, hint) for what, hint in wrong])


def _holder(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"{holder['who']} from {holder['from']} since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "somebody"


def _system(look: Look, wanted: str) -> Wrong:
    hint = f"write `os: {look.system}` if the host was installed anew"
    return [(f"the host is {look.system}, not {wanted}", hint)] if look.system != wanted else []


def _lock(job: Job, look: Look) -> Rung:
    if look.at_work is None:
        return judged("lock", "nobody is at work here", ())
    what = f"{look.at_work} is at work on this host"
    hint = "wait for that run; if it is dead, and its last step too, apply with `--break-lock`"
    return judged("lock", what, [Finding(f"{job.host} · lock", what, hint, severity="warning")])


def _clock(look: Look) -> Wrong:
    hint = "see `timedatectl timesync-status` on the host, and `system.time_servers`"
    return [("the clock is not synchronised", hint)] if look.synchronised is False else []


def _disks(look: Look) -> Wrong:
    hint = "see `docker system df` and the weights directory"
    return [
        (f"{place} is {percent} % full", hint) for place, percent in look.disks.items() if percent >= _FULL
    ]


def _units(look: Look) -> Wrong:
    return [(f"{unit} has failed", f"read `journalctl -u {unit}` on the host") for unit in look.failed]


def _receipt(job: Job, records: Records) -> Rung:
    where, receipt = f"{job.host} · receipt", records.receipt
    if receipt is None:
        missing = Finding(where, "no apply has come to its end on this host", "run `stackctl apply`")
        return judged("receipt", "", [missing])
    told = f"of {receipt.at}, by {receipt.who} from {receipt.machine}"
    told += f", commit {receipt.commit}" if receipt.commit else ""
    newer = [name for name, want in records.wanted.items() if receipt.wanted.get(name) != want]
    what = f"since the last apply the inventory wants something else of {', '.join(newer)}"
    hint = "run `stackctl plan` to see what, and `stackctl apply`"
    return judged("receipt", told, [Finding(where, what, hint, severity="warning")] if newer else [])


def _engine(look: Look) -> Wrong:
    hint = "run `stackctl apply`, and read `journalctl -u docker` on the host"
    if look.engine is None:
        return [("Docker does not answer", hint)]
    return [] if look.compose else [("Docker has no Compose", hint)]


def _containers(look: Look) -> Wrong:
    return [
        (f"{name} is {state}", "read `docker logs` of it, or `stackctl drift`")
        for name, state in look.containers.items()
        if not state.startswith("running") or "unhealthy" in state
    ]
