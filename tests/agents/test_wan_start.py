"""How the agent starts: on a host that boots, and after one before it; and how it spreads what is new."""

import pytest

from stackctl.agents.wan import Port, Tick, described, recalled
from tests.agents.wan_course import BALANCED, Course, config, settled, uplink

HOLD = BALANCED.hold


def test_at_the_start_the_verdict_on_the_preferred_uplink_is_awaited() -> None:
    course = Course(config())
    course.see(Tick("lte", course.now, met=True))
    assert course.switches == []

    assert course.see(Tick("fibre", course.now, met=True)).switches == [("fibre",)]


def test_a_host_that_boots_with_a_dead_uplink_takes_the_other_one() -> None:
    course = Course(config()).run(2, fibre="dead")

    assert (course.switches, course.state.switches) == ([("lte",)], 0)


def test_an_uplink_whose_link_is_slow_at_boot_is_used_as_soon_as_it_works() -> None:
    course = Course(config()).run(8, fibre="unplugged").run(10)

    assert course.switches == [("lte",), ("fibre",)]


def test_an_agent_that_starts_anew_stays_where_the_route_is_for_a_hold() -> None:
    course = Course(config(), active=("lte",))
    begun = course.now
    course.run(120)

    assert course.switches == [("fibre",)]
    assert course.times[0] - begun == pytest.approx(HOLD, abs=1)


def test_an_agent_that_starts_anew_goes_on_with_the_hold_that_had_begun() -> None:
    before = settled().run(3, fibre="dead").run(35)
    told = described(before.config, before.state, dict.fromkeys(before.config.ranked, Port()), before.now, 0)
    course = Course(config(), active=("lte",), kept=recalled(told))
    course.now = before.now
    course.run(40)

    assert course.switches == [("fibre",)]


def test_an_agent_that_starts_anew_knows_what_an_operator_asked_for() -> None:
    before = settled().order("switch", "lte").order("pause")
    told = described(before.config, before.state, dict.fromkeys(before.config.ranked, Port()), before.now, 0)
    state = Course(config(), active=("lte",), kept=recalled(told)).state

    assert (state.forced, state.paused, state.switches) == ("lte", True, 1)


def test_an_agent_that_starts_anew_holds_what_an_operator_asked_for_and_fell_before() -> None:
    before = settled().order("switch", "lte").run(3, lte="dead").run(10)
    told = described(before.config, before.state, dict.fromkeys(before.config.ranked, Port()), before.now, 0)
    course = Course(config(), active=("fibre",), kept=recalled(told))
    course.now = before.now
    course.run(3, lte="dead").run(20)

    assert (course.state.forced, course.switches) == ("lte", [])


def test_a_dead_uplink_is_left_also_right_after_a_new_start() -> None:
    assert Course(config(), active=("fibre",)).run(3, fibre="dead").switches == [("lte",)]


def test_weighted_all_that_work_are_used() -> None:
    course = settled(config(mode="weighted"))
    assert course.state.active == ("fibre", "lte")

    assert course.run(10, lte="dead").state.active == ("fibre",)
    assert course.run(300).state.active == ("fibre", "lte")
    assert course.run(300, fibre="loses 30 %").state.active == ("lte",)


def test_weighted_nothing_is_moved_where_all_look_bad() -> None:
    course = settled(config(mode="weighted")).run(60, fibre="dead", lte="dead")

    assert (course.switches, course.cuts) == ([], [])


def test_weighted_a_metered_uplink_is_used_where_no_other_works() -> None:
    written = config(uplink("fibre", 1), uplink("lte", 2, metered=True), mode="weighted")
    course = settled(written)
    assert course.state.active == ("fibre",)

    assert course.run(10, fibre="dead").state.active == ("lte",)
    assert course.run(300).state.active == ("fibre",)


def test_weighted_with_manual_failback_a_recovered_uplink_waits_to_be_asked_for() -> None:
    course = settled(config(mode="weighted", failback="manual")).run(10, lte="dead").run(600)
    assert course.state.active == ("fibre",)

    assert course.order("release").state.active == ("fibre", "lte")
