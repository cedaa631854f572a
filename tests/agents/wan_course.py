"""The agent's state machine under a clock of our own: time passes as fast as it is computed."""

from collections.abc import Mapping
from typing import Any

from stackctl.agents.wan import (
    Answer,
    Config,
    Decision,
    Link,
    Order,
    Probing,
    Seen,
    State,
    Switch,
    Target,
    Tick,
    Uplink,
    begin,
    step,
)

BALANCED = Probing(0.5, 1.0, 4, 10, 30.0, 0.2, 0.05, 0.5, 0.25, 60.0)
TARGETS = tuple(Target("icmp", address) for address in ("1.1.1.1", "8.8.8.8", "9.9.9.9"))


def uplink(name: str, number: int, **changed: Any) -> Uplink:
    given: dict[str, Any] = {"gateway": f"192.0.2.{number}", "probing": BALANCED} | changed
    return Uplink(name, number, f"wan{number}", **given)


FIBRE, LTE = uplink("fibre", 1), uplink("lte", 2)


def config(*uplinks: Uplink, **changed: Any) -> Config:
    return Config(uplinks or (FIBRE, LTE), TARGETS, **changed)


class Course:
    """What the agent did in the course of some weather.

    Weather is said of each uplink: `good`, `dead`, `unplugged`, `one target dead`, `loses N %`, `takes N ms`.
    """

    def __init__(self, written: Config, active: tuple[str, ...] = (), kept: State | None = None) -> None:
        self.config = written
        self.now = 1000.0
        self.state = begin(written, active, kept, self.now)
        self.switches: list[tuple[str, ...]] = []
        """What became active, in order."""
        self.times: list[float] = []
        self.cuts: list[str] = []
        self._lost = dict.fromkeys(written.ranked, 0.0)

    def see(self, seen: Seen | None) -> "Course":
        before = self.state
        self.state, decisions = step(self.config, before, seen, self.now)
        for decision in decisions:
            self.decided(before, decision)
        return self

    def decided(self, _before: State, decision: Decision) -> None:
        if isinstance(decision, Switch):
            self.switches.append(decision.new)
            self.times.append(self.now)
        else:
            self.cuts.append(decision.uplink)

    def order(self, kind: Any, uplink: str = "", seconds: float | None = None) -> "Course":
        return self.see(Order(kind, uplink, self.now + seconds if seconds else None))

    def run(self, seconds: float, **weather: str) -> "Course":
        """Let time pass; an uplink that nothing is said of is `good`."""
        interval = self.config.uplinks[0].probing.interval
        for _ in range(round(seconds / interval)):
            self.now += interval
            for name in self.config.ranked:
                self._tick(name, weather.get(name, "good"))
            self.see(None)
        return self

    def phases(self) -> Mapping[str, str]:
        return {name: health.phase for name, health in self.state.uplinks.items()}

    def _tick(self, name: str, weather: str) -> None:
        if self.state.uplinks[name].carrier != (weather != "unplugged"):
            self.see(Link(name, weather != "unplugged"))
        answers = [self._answer(name, index, weather) for index in range(len(TARGETS))]
        for index, rtt in enumerate(answers):
            self.see(Answer(name, index, rtt))
        met = sum(rtt is not None for rtt in answers) >= self.config.quorum
        self.see(Tick(name, self.now, met=met))

    def _answer(self, name: str, index: int, weather: str) -> float | None:
        if weather in {"dead", "unplugged"} or (weather == "one target dead" and index == 0):
            return None
        if weather.startswith("takes"):
            return int(weather.split()[1]) / 1000
        if weather.startswith("loses"):
            self._lost[name] += int(weather.split()[1]) / 100
            if self._lost[name] >= 1:
                self._lost[name] -= 1
                return None
        return 0.02


def settled(written: Config | None = None) -> Course:
    """A minute after the start, all well and on the preferred uplink."""
    course = Course(written or config()).run(60)
    course.switches.clear()
    course.times.clear()
    return course
