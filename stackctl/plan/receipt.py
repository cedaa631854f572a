"""What a host keeps of the runs over it: a receipt of the last apply, and an audit log of all."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

FORMAT = 1

Things = Mapping[str, Mapping[str, str]]
"""State by thing, as operations saw it: `file /etc/hosts` has a `mode`; a thing without state was not there."""


@dataclass(frozen=True)
class Receipt:
    """What the last apply left on a host. It holds no secret, nor a hash of one."""

    run: str
    who: str
    machine: str
    """Where the operator was."""
    commit: str
    """Git commit of the inventory; `+` behind it where it had local changes."""
    version: str
    """Version of stackctl."""
    environment: str
    at: str = ""
    """The host's own time, in UTC: `2026-11-24T06:12:01Z`."""
    wanted: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint by capability of what the inventory wanted."""
    things: Things = field(default_factory=dict)

    def text(self) -> str:
        """As it is stored: one JSON object, its keys sorted, without the time, which the host adds."""
        values = {key: value for key, value in asdict(self).items() if key != "at"}
        return json.dumps({"format": FORMAT, **values}, sort_keys=True)


def read_receipt(text: str) -> Receipt | None:
    """The receipt that a host has; None where there is none, or none that this version can read."""
    try:
        values = json.loads(text)
        if values.pop("format") != FORMAT:
            return None
        return Receipt(**values)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


@dataclass(frozen=True)
class Entry:
    """One line of a host's audit log; `more` holds what only some kinds have."""

    at: str
    run: str
    kind: Literal["begin", "step", "done", "failed", "reboot", "restored", "finish"]
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One operation of a run, as the audit log has it."""

    capability: str
    operation: str
    action: str
    reason: str
    result: Literal["done", "failed", "cut off"]
    """`cut off`: its end was never recorded, since the connection or the operator's process was gone."""


@dataclass(frozen=True)
class Visit:
    """One run over one host, from its audit log."""

    run: str
    at: str
    """When it began, by the host's clock, in UTC."""
    who: str
    machine: str
    commit: str
    version: str
    result: str
    """`done`, `failed`, `did not converge`, or `cut off` where no end was recorded."""
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    """Reboots, changes that the host took back, and findings."""


def visits(lines: Iterable[str]) -> tuple[Visit, ...]:
    """The runs that an audit log tells of, in its order, which no clock can disturb."""
    runs: dict[str, list[Entry]] = {}
    for entry in _entries(lines):
        runs.setdefault(entry.run, []).append(entry)
    return tuple(_visit(run, entries) for run, entries in runs.items())


def _entries(lines: Iterable[str]) -> Iterator[Entry]:
    """Lines that are no entries, such as one that a full disk cut short, are passed over."""
    for line in lines:
        try:
            values = json.loads(line)
            yield Entry(values.pop("at"), values.pop("run"), values.pop("kind"), values)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue


def _visit(run: str, entries: list[Entry]) -> Visit:
    begun: Mapping[str, Any] = next((entry.more for entry in entries if entry.kind == "begin"), {})
    ended = [entry.more.get("result", "") for entry in entries if entry.kind == "finish"]
    return Visit(
        run,
        entries[0].at,
        begun.get("who", ""),
        begun.get("machine", ""),
        begun.get("commit", ""),
        begun.get("version", ""),
        ended[-1] if ended else "cut off",
        tuple(_steps(entries)),
        tuple(_notes(entries)),
    )


def _steps(entries: list[Entry]) -> Iterator[Step]:
    ends: dict[tuple[str, str], Literal["done", "failed"]] = {
        (entry.more.get("capability", ""), entry.more.get("operation", "")): entry.kind
        for entry in entries
        if entry.kind in ("done", "failed")
    }
    for entry in entries:
        if entry.kind == "step":
            words = {key: entry.more.get(key, "") for key in ("capability", "operation", "action", "reason")}
            yield Step(**words, result=ends.get((words["capability"], words["operation"]), "cut off"))


def _notes(entries: list[Entry]) -> Iterator[str]:
    for entry in entries:
        if entry.kind == "reboot":
            yield f"rebooted: {entry.more.get('reason', '')}"
        if entry.kind == "restored":
            yield f"the host took the change to {entry.more.get('guard', '')} back by itself"
        if entry.kind == "finish":
            yield from entry.more.get("findings", ())
