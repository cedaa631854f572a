"""The rungs that every host has: its system, clock, disks, units, engine and containers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stackctl.capabilities.system import SystemSpec
from stackctl.core.finding import Finding
from stackctl.core.job import Job
from stackctl.doctor.rung import Rung

_FULL = 90
"""Percent of a disk from which on it is told."""


@dataclass(frozen=True)
class Look:
    """What a host shows of itself."""

    system: str = ""
    """`debian-13`."""
    synchronised: bool | None = None
    disks: Mapping[str, int] = field(default_factory=dict)
    """Percent that is taken, by mount point."""
    failed: tuple[str, ...] = ()
    """Units that systemd calls failed."""
    engine: str | None = None
    """Version of Docker; None: it does not answer, or is not there."""
    containers: Mapping[str, str] = field(default_factory=dict)
    """Docker's word for the state of each of our containers."""
    receipt: bool = False


def script() -> str:
    """Reads, and changes nothing."""
    return _SCRIPT


def read(text: str) -> Look:
    """What the script printed: a word and what it is about on each line."""
    rows = [line.partition(" ")[::2] for line in text.splitlines()]
    told = dict(rows)
    disks = dict(rest.split(" ", 1)[::-1] for word, rest in rows if word == "disk" and " " in rest)
    return Look(
        told.get("system", ""),
        {"yes": True, "no": False}.get(told.get("clock", "")),
        {
            place: int(percent.rstrip("%"))
            for place, percent in disks.items()
            if percent.rstrip("%").isdigit()
        },
        tuple(rest for word, rest in rows if word == "failed"),
        told.get("engine") or None,
        dict(rest.split(" ", 1) for word, rest in rows if word == "container" and " " in rest),
        "receipt" in told,
    )


_SCRIPT = r"""(. /etc/os-release && printf 'system %s-%s\n' "$ID" "$VERSION_ID")
printf 'clock %s\n' "$(timedatectl show -p NTPSynchronized --value 2>/dev/null)"
df -P --output=pcent,target -x tmpfs -x devtmpfs -x overlay -x squashfs / /var/lib/docker /srv 2>/dev/null |
  sed -n '2,$p' | sort -u | while read -r percent place; do printf 'disk %s %s\n' "$percent" "$place"; done
systemctl list-units --failed --plain --no-legend 2>/dev/null | while read -r unit rest; do printf 'failed %s\n' "$unit"; done
if command -v docker >/dev/null 2>&1; then
  printf 'engine %s\n' "$(timeout 20 docker version --format '{{.Server.Version}}' 2>/dev/null)"
  timeout 20 docker ps -a --filter label=com.docker.compose.project=stackctl \
    --format '{{.Label "com.docker.compose.service"}} {{.State}} {{.Status}}' 2>/dev/null | sed 's/^/container /'
fi
[ ! -s "$STACKCTL_STATE/receipt.json" ] || echo receipt
"""


def rungs(job: Job, look: Look) -> tuple[Rung, ...]:
    """Each with its findings."""
    has = {part.capability for part in job.parts}
    found = [
        *([_rung(job, "clock", "synchronised", _clock(look))] if _keeps_clock(job) else []),
        _rung(
            job,
            "disks",
            ", ".join(f"{place} {percent} %" for place, percent in look.disks.items()),
            _disks(look),
        ),
        _rung(job, "units", "none has failed", _units(look)),
        _rung(job, "receipt", "an apply has come to its end here", _receipt(look)),
    ]
    if "docker" in has:
        found.append(_rung(job, "engine", f"Docker {look.engine}", _engine(look)))
        told = ", ".join(f"{name} {state.partition(' ')[0]}" for name, state in look.containers.items())
        found.append(_rung(job, "containers of models", told or "none", _containers(look)))
    return tuple(found)


Wrong = list[tuple[str, str]]
"""What is wrong, and the way out."""


def _rung(job: Job, name: str, told: str, wrong: Wrong) -> Rung:
    findings = tuple(Finding(f"{job.host} · {name}", what, hint) for what, hint in wrong)
    if findings:
        return Rung(name, "failed", "; ".join(what for what, _ in wrong), findings)
    return Rung(name, "passed", told)


def _keeps_clock(job: Job) -> bool:
    """Whether the clock is stackctl's to keep."""
    return any(isinstance(part.spec, SystemSpec) and part.spec.timesyncd for part in job.parts)


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


def _receipt(look: Look) -> Wrong:
    return [] if look.receipt else [("no apply has come to its end on this host", "run `stackctl apply`")]


def _engine(look: Look) -> Wrong:
    hint = "run `stackctl apply`, and read `journalctl -u docker` on the host"
    return [] if look.engine else [("Docker does not answer", hint)]


def _containers(look: Look) -> Wrong:
    return [
        (f"{name} is {state}", "read `docker logs` of it, or `stackctl drift`")
        for name, state in look.containers.items()
        if not state.startswith("running") or "unhealthy" in state
    ]
