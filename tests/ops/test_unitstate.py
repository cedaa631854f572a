"""Since when a unit has been running, by clocks that jump."""

from datetime import UTC, datetime, timedelta

import pytest

from stackctl.ops.unitstate import Moment, UnitFile, UnitState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("case", "changed", "started_then", "started_now", "stale"),
    [
        ("no jump, file first", -3, -2, -2, False),
        ("no jump, start first", -2, -3, -3, True),
        ("set back after both, file first", +1, +2, -2, False),
        ("set back after both, start first", +2, +1, -2, True),
        ("set back after the start and before the file", -1, +2, -2, True),
        ("set back after the file and before the start: one restart too many", +1, -2, -2, True),
        ("set forward after both, start first", -5, -6, -1, True),
        ("set forward after both, file first", -6, -5, -1, False),
        ("booted by a late clock, file of long before", -4, -3, -1, False),
        ("booted by a late clock, file of just before: one restart too many", -2, -3, -1, True),
    ],
)
def test_a_unit_of_somebody_elses_start_never_goes_without_a_restart_it_owes(
    case: str, changed: int, started_then: int, started_now: int, *, stale: bool
) -> None:
    """Hours from noon, which the clock shows now."""
    since = Moment(NOON + timedelta(hours=started_then), NOON + timedelta(hours=started_now))
    file = UnitFile("aa", NOON + timedelta(hours=changed))
    state = UnitState(started=since, now=NOON, files={"/etc/app": file})

    assert (case, state.stale(["/etc/app"], since)) == (case, ["/etc/app"] if stale else [])
