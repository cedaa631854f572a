"""Findings as people read them, and as machines do."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from stackctl.core.finding import Finding
from stackctl.views.terminal import plain


def findings_text(findings: Sequence[Finding]) -> str:
    """One block a finding: where and what, evidence, the way out."""
    return plain("\n".join(line for finding in findings for line in _lines(finding)))


def findings_totals(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 warning.`"""
    kinds = [finding.severity for finding in findings]
    present = [kind for kind in ("error", "warning") if kind in kinds]
    return ", ".join(counted(kinds.count(kind), kind) for kind in present) + "."


def findings_json(findings: Sequence[Finding], **more: object) -> str:
    """The findings' values, as they are, after what else there is to say."""
    return json.dumps({"format": 1, **more, "findings": [asdict(item) for item in findings]}, indent=2)


def _lines(finding: Finding) -> Iterator[str]:
    warning = "warning: " if finding.severity == "warning" else ""
    yield f"{finding.where}  {warning}{finding.what}"
    yield from (f"    {line}" for line in finding.detail)
    if finding.hint is not None:
        yield f"  hint: {finding.hint}"


def counted(count: int, noun: str) -> str:
    """`1 host`, `2 hosts`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), *words[-1:]] if len(words) > 1 else words)
