"""A plan kept in a file, so that exactly what was read is what is applied."""

from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from stackctl.core.finding import Finding
from stackctl.plan.change import Plan
from stackctl.plan.compare import differs

FORMAT = 1


@dataclass(frozen=True)
class SavedPlan:
    """A plan, and who made it from what."""

    plan: Plan
    who: str
    machine: str
    commit: str
    """Git commit of the inventory; `+` behind it where it had local changes."""
    version: str
    """Version of stackctl."""
    at: str
    """Operator's time in UTC, for people: `2026-11-24 06:12:01 UTC`."""
    format: int = FORMAT


def write(saved: SavedPlan) -> str:
    """The file's text."""
    return TypeAdapter(SavedPlan).dump_json(saved, indent=2).decode() + "\n"


def read(text: str) -> SavedPlan:
    """The plan in a file's text; ValueError where it is none, or one of another format."""
    try:
        saved = TypeAdapter(SavedPlan).validate_json(text)
    except ValidationError as error:
        raise ValueError("it is no saved plan, or one that was changed by hand") from error
    if saved.format != FORMAT:
        raise ValueError(f"it has format {saved.format}, and this version reads {FORMAT}")
    return saved


def is_file_name(text: str) -> bool:
    """Whether `text` can only be a file's name: an environment's holds neither a dot nor a slash."""
    return "." in text or "/" in text


def differences(kept: Plan, now: Plan) -> tuple[Finding, ...]:
    """What an apply would do otherwise now; hosts that could not be planned then are left out of both."""
    fresh = {plan.host: plan for plan in now.hosts}
    pairs = [(plan, fresh[plan.host]) for plan in kept.hosts if not plan.findings]
    return tuple(differs(before, after) for before, after in pairs if before != after)


def kept_only(kept: Plan, now: Plan) -> Plan:
    """`now` without what it would do on hosts that could not be planned then: nobody has read that."""
    fresh = {plan.host: plan for plan in now.hosts}
    return Plan(now.environment, tuple(plan if plan.findings else fresh[plan.host] for plan in kept.hosts))
