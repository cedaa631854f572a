"""What holds of the agent's state machine in any weather and whatever it is told."""

from dataclasses import replace

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stackctl.agents.wan import Answer, Decision, Link, Order, Phase, Seen, State, Switch, Tick
from tests.agents.wan_course import BALANCED, TARGETS, Course, config, uplink

QUICK = replace(BALANCED, window=10.0, hold=6.0)
WRITTEN = config(uplink("fibre", 1, probing=QUICK), uplink("lte", 2, probing=QUICK))
THREE = config(
    *(uplink(name, number, probing=QUICK) for number, name in enumerate(("fibre", "cable", "lte"), 1))
)
RANK: dict[Phase, int] = {"up": 0, "recovering": 1, "degraded": 2, "init": 3, "down": 4}
LONGEST = QUICK.hold * 8
"""Seconds that a hold takes at most."""

weathers = st.sampled_from(["good", "dead", "one target dead", "loses 30 %", "takes 600 ms", "unplugged"])
spells = st.lists(st.tuples(st.integers(1, 20), weathers, weathers), max_size=8)
moderately = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Watched(Course):
    """Notes how good what was left and what was taken were at the moment of each switch."""

    def decided(self, before: State, decision: Decision) -> None:
        super().decided(before, decision)
        if isinstance(decision, Switch):
            self.check(decision, {name: RANK[health.phase] for name, health in self.state.uplinks.items()})

    def check(self, switch: Switch, ranks: dict[str, int]) -> None:
        assert switch.old != switch.new
        if self.state.forced or not switch.old:
            return
        [old], [new] = switch.old, switch.new
        preferred = self.config.ranked.index(new) < self.config.ranked.index(old)
        assert ranks[new] < ranks[old] or (preferred and ranks[new] == 0)
        answering = [name for name, health in self.state.uplinks.items() if not health.missed]
        better = [name for name in answering if ranks[name] == 0 and name != new]
        assert ranks[new] == 0 or not better


def in_weather(found: list[tuple[int, str, str]]) -> Course:
    course = Watched(WRITTEN).run(20)
    course.switches.clear()
    course.times.clear()
    for seconds, fibre, lte in found:
        course.run(seconds, fibre=fibre, lte=lte)
    return course


@moderately
@given(spells)
def test_it_never_goes_to_a_worse_uplink_and_always_comes_back_in_the_end(
    found: list[tuple[int, str, str]],
) -> None:
    course = in_weather(found).run(LONGEST + 3 * QUICK.window)

    assert course.state.active == ("fibre",)
    assert set(course.phases().values()) == {"up"}


@moderately
@given(spells)
@example([(1, "good", "unplugged"), (5, "dead", "good"), (5, "good", "dead")])
def test_it_comes_back_only_after_a_hold_unless_what_it_went_to_failed(
    found: list[tuple[int, str, str]],
) -> None:
    course = in_weather(found)
    for (there, back), (left, returned) in zip(
        zip(course.switches, course.switches[1:], strict=False),
        zip(course.times, course.times[1:], strict=False),
        strict=True,
    ):
        assert there != back
        assert returned - left >= QUICK.hold or back == ("lte",) or fell(course, left, returned)


def fell(course: Course, left: float, returned: float) -> bool:
    """The uplink that it went to fell, and had to be left whether another had been well for long or not."""
    return any(left <= fall <= returned for fall in course.state.uplinks["lte"].falls)


@moderately
@given(st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["good", "dead"])), max_size=8))
def test_where_both_die_and_live_together_nothing_is_moved_and_nothing_cut(
    found: list[tuple[int, str]],
) -> None:
    course = in_weather([(seconds, both, both) for seconds, both in found])

    assert (course.switches, course.cuts) == ([], [])


@moderately
@given(
    st.lists(st.tuples(st.integers(1, 30), *[st.sampled_from(["good", "one target dead"])] * 2), max_size=8)
)
def test_a_dead_target_moves_nothing(found: list[tuple[int, str, str]]) -> None:
    assert in_weather(found).switches == []


names = st.sampled_from(THREE.ranked)
observations = st.one_of(
    st.builds(Answer, names, st.integers(0, len(TARGETS) - 1), st.none() | st.floats(0.001, 0.9)),
    st.builds(Tick, names, st.floats(-2, 0), st.booleans(), st.booleans(), st.sampled_from([0.0, 0.0, 1.0])),
    st.builds(Link, names, st.sampled_from([True, True, True, False])),
    st.builds(
        Order,
        st.sampled_from(["switch", "release", "pause", "resume"]),
        names,
        st.none() | st.floats(0, 60),
    ),
    st.none(),
)


@moderately
@given(
    st.lists(st.tuples(st.floats(0, 5), observations, st.integers(1, 8)), max_size=60),
    st.sampled_from(THREE.ranked),
)
def test_whatever_it_is_told_it_makes_no_senseless_move_and_comes_back(
    told: list[tuple[float, Seen | None, int]], begun: str
) -> None:
    course = Watched(THREE, active=(begun,))
    for seconds, seen, times in told:
        for _ in range(times):
            course.now += seconds
            course.see(at(course.now, seen))
    course.order("release").order("resume")
    course.run(LONGEST + 3 * QUICK.window)

    assert course.state.active == ("fibre",)


def at(now: float, seen: Seen | None) -> Seen | None:
    """What was made up, at the time it is now."""
    if isinstance(seen, Tick):
        return replace(seen, sent=now + seen.sent)
    if isinstance(seen, Order) and seen.until is not None:
        return replace(seen, until=now + seen.until)
    return seen
