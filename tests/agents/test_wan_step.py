"""What the agent makes of what it sees: one fact a test, under a clock of our own."""

from dataclasses import replace

import pytest

from stackctl.agents.wan import Answer, Asked, Link, Tick, quality
from tests.agents.wan_course import BALANCED, Course, config, settled, uplink

HOLD = BALANCED.hold


@pytest.mark.parametrize(
    ("fibre", "seconds", "active"),
    [
        ("good", 600, "fibre"),
        ("dead", 1.5, "fibre"),
        ("dead", 2, "lte"),
        ("unplugged", 0.5, "lte"),
        ("one target dead", 600, "fibre"),
        ("loses 10 %", 600, "fibre"),
        ("loses 30 %", 30, "lte"),
        ("takes 300 ms", 600, "fibre"),
        ("takes 600 ms", 30, "lte"),
    ],
)
def test_an_uplink_is_left_for_what_is_wrong_with_it_and_for_nothing_else(
    fibre: str, seconds: float, active: str
) -> None:
    assert settled().run(seconds, fibre=fibre).state.active == (active,)


@pytest.mark.parametrize("weather", ["dead", "loses 30 %", "takes 600 ms"])
def test_where_all_uplinks_look_bad_nothing_is_moved_and_nothing_cut(weather: str) -> None:
    course = settled().run(120, fibre=weather, lte=weather)

    assert (course.switches, course.cuts, course.state.frozen) == ([], [], True)


@pytest.mark.parametrize("weather", ["dead", "loses 30 %", "takes 600 ms"])
def test_after_all_looked_bad_and_came_back_the_same_uplink_is_in_use(weather: str) -> None:
    course = settled().run(20, fibre=weather, lte=weather).run(300)

    assert (course.switches, course.state.active) == ([], ("fibre",))


def test_an_uplink_that_fails_with_the_other_is_no_refuge_though_its_verdict_is_still_to_come() -> None:
    course = settled()
    begun = course.now
    for tick in range(4):  # both were asked at the same times; what fibre lost is known a little earlier
        course.now = begun + 1 + tick / 2
        course.see(Tick("fibre", course.now - 1, met=False))
        course.now += 0.01
        course.see(Tick("lte", course.now - 1, met=False))

    assert (course.phases(), course.switches) == ({"fibre": "down", "lte": "down"}, [])


def test_an_uplink_that_fell_silent_a_moment_after_the_other_is_no_refuge() -> None:
    course = settled().run(0.5, fibre="dead").run(60, fibre="dead", lte="dead")

    assert (course.switches, course.cuts) == ([], [])


def test_the_first_to_come_back_after_all_were_bad_is_used_at_once() -> None:
    course = settled().run(20, fibre="dead", lte="dead").run(5, fibre="dead")

    assert course.switches == [("lte",)]


def test_a_recovered_uplink_is_used_after_it_stayed_well_for_its_hold() -> None:
    course = settled().run(10, fibre="dead")
    back = course.now
    course.run(300)

    assert course.switches == [("lte",), ("fibre",)]
    assert course.times[1] - back == pytest.approx(HOLD + BALANCED.up_after * BALANCED.interval, abs=1)


def test_an_uplink_that_came_back_and_still_loses_some_is_not_used_before_it_is_clean() -> None:
    course = settled().run(10, fibre="dead").run(300, fibre="loses 10 %")
    assert (course.state.active, course.phases()["fibre"]) == (("lte",), "recovering")

    assert course.run(60).state.active == ("fibre",)


def test_flapping_costs_one_switch() -> None:
    course = settled()
    for _ in range(8):
        course.run(5, fibre="dead").run(6)

    assert course.switches == [("lte",)]


@pytest.mark.parametrize(("falls", "times"), [(1, 1), (2, 2), (3, 4), (4, 8), (6, 8)])
def test_each_fall_doubles_the_hold_up_to_eight_times(falls: int, times: int) -> None:
    course = settled()
    for _ in range(falls):
        course.run(3, fibre="dead").run(6)

    assert course.state.uplinks["fibre"].hold == times * HOLD


def test_falls_are_forgotten_after_ten_minutes() -> None:
    course = settled().run(3, fibre="dead").run(700).run(3, fibre="dead").run(6)

    assert course.state.uplinks["fibre"].hold == HOLD


def test_what_was_lost_in_an_outage_does_not_count_against_the_uplink_once_it_is_back() -> None:
    course = settled().run(120, fibre="dead").run(20)

    assert course.phases()["fibre"] == "recovering"
    assert all(sample.rtt for samples in course.state.uplinks["fibre"].samples.values() for sample in samples)


def test_ticks_for_which_the_agent_itself_did_not_run_prove_nothing() -> None:
    course = settled()
    for _ in range(20):
        course.now += 0.5
        course.see(Tick("fibre", course.now - 1, met=False, late=0.6))

    assert (course.phases()["fibre"], course.switches) == ("up", [])


def test_a_target_that_was_asked_alone_and_is_dead_breaks_no_row_of_good_ticks() -> None:
    course = settled().run(10, fibre="dead")
    for _ in range(12):
        course.now += 0.5
        course.see(Tick("fibre", course.now, met=True)).see(Tick("fibre", course.now, met=False, whole=False))

    assert course.phases()["fibre"] == "recovering"


def test_a_lost_tick_that_is_known_late_does_not_count_after_a_younger_one_was_met() -> None:
    course = settled()
    for _ in range(10):
        course.now += 0.5
        course.see(Tick("fibre", course.now, met=True)).see(Tick("fibre", course.now - 1, met=False))

    assert course.state.uplinks["fibre"].missed == 0


def test_what_goes_by_a_dead_uplink_is_cut_once() -> None:
    assert settled().run(60, fibre="dead").cuts == ["fibre"]


def test_an_uplink_in_reserve_that_dies_is_cut_too() -> None:
    assert settled().run(60, lte="dead").cuts == ["lte"]


@pytest.mark.parametrize(
    ("on_degraded", "active", "cuts"),
    [("drain", "lte", []), ("cut", "lte", ["fibre"]), ("ignore", "fibre", [])],
)
def test_what_a_lossy_uplink_loses_is_as_configured(on_degraded: str, active: str, cuts: list[str]) -> None:
    course = settled(config(on_degraded=on_degraded)).run(60, fibre="loses 30 %")

    assert (course.state.active, course.cuts) == ((active,), cuts)


def test_nothing_is_cut_where_that_is_not_wanted() -> None:
    assert settled(config(cut=False)).run(60, fibre="dead").cuts == []


def test_with_manual_failback_a_recovered_uplink_waits_to_be_asked_for() -> None:
    course = settled(config(failback="manual")).run(10, fibre="dead").run(600)

    assert course.state.active == ("lte",)
    assert course.order("release").state.active == ("fibre",)


def test_an_operators_switch_lasts_until_it_is_released() -> None:
    course = settled().order("switch", "lte").run(600)

    assert (course.state.active, course.cuts) == (("lte",), [])
    assert course.order("release").state.active == ("fibre",)


def test_an_operators_switch_for_a_time_ends_by_itself() -> None:
    course = settled().order("switch", "lte", 60).run(120)

    assert course.switches == [("lte",), ("fibre",)]
    assert course.times[1] - course.times[0] == pytest.approx(60, abs=1)


def test_an_uplink_that_was_asked_for_and_dies_is_left_until_it_is_back() -> None:
    course = settled().order("switch", "lte").run(10, lte="dead")
    assert course.state.active == ("fibre",)

    assert course.run(300).state.active == ("lte",)


def test_an_uplink_that_was_asked_for_and_flaps_has_its_hold_to_stay_well_for() -> None:
    course = settled().order("switch", "lte").run(3, lte="dead")
    back = course.now
    course.run(300)

    assert course.switches == [("lte",), ("fibre",), ("lte",)]
    assert course.times[2] - back == pytest.approx(HOLD + BALANCED.up_after * BALANCED.interval, abs=1)


def test_an_operator_who_asks_again_has_an_uplink_at_once_that_is_held() -> None:
    course = settled().order("switch", "lte").run(3, lte="dead").run(10)
    assert (course.state.active, course.phases()["lte"]) == (("fibre",), "recovering")

    assert course.order("switch", "lte").state.active == ("lte",)


def test_an_uplink_that_was_asked_for_stays_in_use_where_all_were_down_and_came_back() -> None:
    course = settled().order("switch", "lte").run(20, fibre="dead", lte="dead").run(300)

    assert course.switches == [("lte",)]


def test_what_a_target_lost_that_is_asked_no_more_does_not_count() -> None:
    course = settled()
    for _ in range(30):
        course.now += 0.5
        course.see(Answer("fibre", 0, 0.02)).see(Answer("fibre", 1, None)).see(Answer("fibre", 2, None))
        if course.phases()["fibre"] == "degraded":
            break
    assert course.phases()["fibre"] == "degraded"

    course.see(Asked("fibre", frozenset({0})))

    assert quality(course.state.uplinks["fibre"], course.config.quorum) == (0.0, 0.02)
    assert course.phases()["fibre"] == "recovering"


def test_while_it_is_paused_nothing_is_moved_and_the_verdicts_go_on() -> None:
    course = settled().order("pause").run(60, fibre="dead")
    assert (course.switches, course.cuts, course.phases()["fibre"]) == ([], [], "down")

    assert course.order("resume").switches == [("lte",)]


def test_a_metered_uplink_is_taken_last() -> None:
    written = config(uplink("lte", 1, metered=True), uplink("fibre", 2))
    course = Course(written).run(10)
    assert course.state.active == ("fibre",)

    assert course.run(10, fibre="dead").state.active == ("lte",)


def test_of_three_uplinks_the_best_that_works_is_used() -> None:
    written = config(uplink("fibre", 1), uplink("cable", 2), uplink("lte", 3))
    course = Course(written).run(60).run(60, fibre="dead").run(60, fibre="dead", cable="dead")
    assert course.switches == [("fibre",), ("cable",), ("lte",)]

    assert course.run(300, fibre="dead").state.active == ("cable",)


def test_a_lossy_uplink_is_left_only_for_one_that_is_clean() -> None:
    assert settled().run(120, fibre="loses 30 %", lte="loses 15 %").switches == []


def test_a_cable_pulled_for_a_moment_is_a_fall() -> None:
    course = settled().see(Link("fibre", carrier=False)).see(Link("fibre", carrier=True))

    assert (course.switches, course.phases()["fibre"]) == ([("lte",)], "down")


def test_a_quorum_larger_than_the_number_of_targets_that_can_be_asked_is_all_of_them() -> None:
    course = settled(replace(config(), quorum=3)).run(10, fibre="dead")
    health = course.state.uplinks["fibre"]
    course.state = replace(
        course.state, uplinks={**course.state.uplinks, "fibre": replace(health, samples={})}
    )
    for _ in range(400):
        course.now += 0.5
        course.see(Answer("fibre", 0, 0.02)).see(Tick("fibre", course.now, met=True))
        course.see(Tick("lte", course.now, met=True))

    assert course.state.active == ("fibre",)
