"""A problem as a person needs it: where, what, way out."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, order=True)
class Finding:
    """One problem; findings are collected and shown all at once, never raised one by one."""

    where: str
    """`inventory/lab.yaml:14`, or the host and step: `gpu1 · install docker`."""
    what: str
    """Lower case, no full stop, what was typed in backticks."""
    hint: str | None = None
    """The way out, as an instruction."""
    detail: tuple[str, ...] = ()
    """Lines of evidence, such as the last log lines of a container."""
    severity: Literal["error", "warning"] = "error"


class FindingsError(Exception):
    """Carries findings to the edge of the program, where they are shown; for code it has no other meaning."""

    exit_code = 2
    """What was written or typed is wrong."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(f"{finding.where}: {finding.what}" for finding in findings))
        self.findings = findings

    def __reduce__(self) -> tuple[type["FindingsError"], tuple[Finding, ...]]:
        """Findings survive the way from one process to another."""
        return type(self), self.findings


class FailureError(FindingsError):
    """The input is fine; a host, a service or this machine is not."""

    exit_code = 1
