"""What moved upstream, as people read it, and as machines do."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from stackctl.core.finding import Finding
from stackctl.plan.locks import LockChange, LockReview
from stackctl.views.findings import listed
from stackctl.views.plan import SIGNS
from stackctl.views.terminal import plain

_SHORT = len("sha256:") + 12


def lock_text(review: LockReview, *, checked: bool) -> str:
    """Each lock with what is to change in it; totals last."""
    lines: list[str] = []
    for part in review.parts:
        rows = [_row(change) for change in part.changes]
        rows += [("?", name, "no answer, stays as it is locked") for name in part.kept]
        rows += [("?", name, "no answer, not locked") for name in part.missing]
        if rows:
            width = max(len(name) for _, name, _ in rows)
            lines += [part.kind, *(f"  {sign} {name:<{width}}  {note}".rstrip() for sign, name, note in rows)]
    return plain("\n".join([*lines, _totals(review, checked=checked)]))


def lock_json(review: LockReview, findings: Sequence[Finding], *, checked: bool) -> str:
    """The same values, as they are."""
    parts: dict[str, dict[str, object]] = {
        part.kind: {"unchanged": part.same, "kept": list(part.kept), "missing": list(part.missing)}
        for part in review.parts
    }
    changes = [asdict(change) for change in review.changes]
    told = {"check": checked, **parts, "changes": changes, "findings": [asdict(item) for item in findings]}
    return json.dumps({"format": 1, **told}, indent=2)


def _row(change: LockChange) -> tuple[str, str, str]:
    after, before = (None if text is None else _short(text) for text in (change.after, change.before))
    ways = {
        "add": f"{after}",
        "change": f"{before} → {after}" if before != after else f"{after}",
        "remove": "",
    }
    parts = [part for part in (ways[change.action], change.note) if part]
    return SIGNS[change.action], change.name, ", ".join(parts)


def _short(text: str) -> str:
    return text[:_SHORT] if text.startswith("sha256:") else text[: _SHORT - len("sha256:")]


def _totals(review: LockReview, *, checked: bool) -> str:
    same = sum(part.same for part in review.parts)
    unasked = sum(len(part.kept) + len(part.missing) for part in review.parts)
    rest = f"; {unasked} without an answer" if unasked else ""
    if not review.changes:
        known = "1 entry as upstream has it" if same == 1 else f"{same} entries as upstream has them"
        return f"Nothing moved: {known}{rest}."
    counts = ", ".join(_counts(review, checked=checked))
    if checked:
        return (
            f"To lock: {counts}, {same} as upstream has them{rest}. Run `stackctl lock`, review and commit."
        )
    files = listed([f"inventory/{part.kind}.lock" for part in review.parts if part.changes])
    return f"Locked: {counts}, {same} as they were{rest}. Review {files}, and commit."


def _counts(review: LockReview, *, checked: bool) -> Iterator[str]:
    words = {
        "add": "not locked" if checked else "added",
        "change": "moved",
        "remove": "no longer used" if checked else "removed",
    }
    for action, word in words.items():
        yield f"{sum(change.action == action for change in review.changes)} {word}"
