"""Compare a file as it is with the file as it should be, and a plan as it was with the plan as it is."""

import difflib
import hashlib
from dataclasses import dataclass, replace

from stackctl.core.artifact import Artifact
from stackctl.core.finding import Finding
from stackctl.plan.change import FileChange, HostPlan


@dataclass(frozen=True)
class FileState:
    """A file found on a host. `content` is None when it was not asked for, too large or not text."""

    kind: str
    """`file`, `link`, or what `stat` calls it."""
    mode: int = 0
    owner: str = ""
    group: str = ""
    sha256: str = ""
    content: str | None = None
    link: str | None = None


def compare(
    wanted: Artifact,
    sha256: str,
    found: FileState | None,
    sides: tuple[str, str] = ("host", "inventory"),
) -> FileChange | None:
    """What writing `wanted` would change; None when the host already has it.

    `sha256` is the hash of the wanted bytes, secrets filled in; `sides` names where both contents are from.
    """
    secret = bool(wanted.secrets)
    hashed = "" if secret else sha256
    if found is None:
        diff = "" if secret else _diff(wanted.path, "", wanted.content, sides)
        return FileChange(wanted.path, "add", "new", diff, hashed)
    if found.kind != "file":
        return FileChange(wanted.path, "change", f"is a {found.kind}, becomes a file", sha256=hashed)
    reasons = []
    diff = ""
    if found.sha256 != sha256:
        shown = not secret and found.content is not None
        diff = _diff(wanted.path, found.content or "", wanted.content, sides) if shown else ""
        reasons.append(_content_reason(secret, diff))
    if found.mode != wanted.mode:
        reasons.append(f"mode {found.mode:o} becomes {wanted.mode:o}")
    if (found.owner, found.group) != (wanted.owner, wanted.group):
        reasons.append(f"owner {found.owner}:{found.group} becomes {wanted.owner}:{wanted.group}")
    return FileChange(wanted.path, "change", ", ".join(reasons), diff, hashed) if reasons else None


def compare_rendered(before: Artifact | None, after: Artifact, sides: tuple[str, str]) -> FileChange | None:
    """What another inventory makes of a file; None when nothing.

    A rendered file holds placeholders where secrets will be, so that all of it may be shown.
    """
    found = None
    if before is not None:
        found = FileState("file", before.mode, before.owner, before.group, _sha256(before), before.content)
    change = compare(replace(after, secrets=()), _sha256(after), found, sides)
    # Nothing is applied from this, and hosts that differ in their addresses alone shall read alike.
    return None if change is None else replace(change, sha256="")


def _sha256(artifact: Artifact) -> str:
    return hashlib.sha256(artifact.content.encode()).hexdigest()


def _content_reason(secret: bool, diff: str) -> str:
    if secret:
        return "content differs, secret and not shown"
    if not diff:
        return "content differs, too large or not text"
    lines = diff.splitlines()[2:]
    added = sum(line.startswith("+") for line in lines)
    removed = sum(line.startswith("-") for line in lines)
    parts = [f"{added} added"] * bool(added) + [f"{removed} removed"] * bool(removed)
    return f"lines: {', '.join(parts)}"


def _diff(path: str, before: str, after: str, sides: tuple[str, str]) -> str:
    old, new = (f"{path} ({side})" for side in sides)
    lines = difflib.unified_diff(_rows(before), _rows(after), old, new, lineterm="", n=3)
    return "\n".join(lines)


def _rows(text: str) -> list[str]:
    """Lines as a reader has to see them: a carriage return and a missing end of the last line are differences."""
    rows = text.replace("\r", "^M").split("\n")
    if rows[-1]:
        return [*rows, "(no newline at the end)"]
    return rows[:-1]


def differs(confirmed: HostPlan, now: HostPlan) -> Finding:
    """What is not as it was when the plan was made."""
    before, after = set(confirmed.changes), set(now.changes)
    lines = [
        f"no longer: {item.capability} · {item.operation} ({item.reason})"
        for item in confirmed.changes
        if item not in after
    ]
    lines += [
        f"new: {item.capability} · {item.operation} ({item.reason})"
        for item in now.changes
        if item not in before
    ]
    lines += [f"new: {finding.what}" for finding in now.findings]
    what = "an apply would do something else now than when the plan was made; nothing was done"
    return Finding(confirmed.host, what, "run again and read the new plan", tuple(lines))
