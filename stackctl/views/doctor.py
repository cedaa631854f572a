"""A doctor's findings, rung by rung."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from stackctl.doctor.rung import Rung
from stackctl.views.findings import findings_text
from stackctl.views.terminal import plain

_WORDS = {"passed": "ok", "warning": "warn", "failed": "FAILED", "skipped": "-"}


def doctor_text(host: str, rungs: Sequence[Rung]) -> str:
    """One line a rung, then what is wrong with its way out, then the sum."""
    width = max((len(rung.name) for rung in rungs), default=0)
    lines = [f"{_WORDS[rung.state]:<6}  {rung.name:<{width}}  {_told(rung)}".rstrip() for rung in rungs]
    findings = [finding for rung in rungs for finding in rung.findings]
    if findings:
        lines += ["", findings_text(findings)]
    return plain("\n".join([*lines, "", _sum(host, rungs)]))


def doctor_json(host: str, rungs: Sequence[Rung]) -> str:
    """The rungs' values, as they are."""
    sound = all(rung.state != "failed" for rung in rungs)
    return json.dumps(
        {"format": 1, "host": host, "sound": sound, "rungs": [asdict(rung) for rung in rungs]}, indent=2
    )


def _told(rung: Rung) -> str:
    wrong = [finding.what for finding in rung.findings if finding.severity == "error"]
    return rung.told if len(wrong) < 2 else f"{wrong[0]}, and {len(wrong) - 1} more"


def _sum(host: str, rungs: Sequence[Rung]) -> str:
    counts = {state: sum(rung.state == state for rung in rungs) for state in _WORDS}
    if counts["failed"]:
        return f"{host}: {counts['failed']} of {len(rungs)} rungs failed."
    warned = f", {counts['warning']} with a warning" if counts["warning"] else ""
    skipped = f", {counts['skipped']} not looked at" if counts["skipped"] else ""
    held = counts["passed"] + counts["warning"]
    return f"{host} is sound: {held} of {len(rungs)} rungs passed{warned}{skipped}."
