"""All rungs in their order: each rests on those before it."""

from stackctl.core.finding import Finding
from stackctl.doctor import hardware, software, use
from stackctl.doctor.rung import Case, Rung

_RUNGS = (
    hardware.devices,
    hardware.drivers,
    hardware.modules,
    hardware.versions,
    software.answers,
    software.settings,
    software.fabric,
    software.specifications,
    use.container,
    use.workload,
    use.errors,
)


def ladder(case: Case) -> tuple[Rung, ...]:
    """Every rung; one whose ground is missing is skipped and says so."""
    return tuple(rung(case) for rung in _RUNGS)


def findings_of(rungs: tuple[Rung, ...]) -> tuple[Finding, ...]:
    """What is wrong; what is only left to do is not."""
    return tuple(finding for rung in rungs for finding in rung.findings if finding.severity == "error")
