"""Keeps a host on an uplink that works: probes every uplink, and moves one default route.

`wan.py run FILE` is the agent. `status`, `switch UPLINK [--for SECONDS]`, `release`, `pause` and `resume` speak to
it, `test UPLINK` probes by itself; each takes the same file last. Any Python 3.10 or later will do.

First come values and pure functions: `step` makes of what was seen what to do, and `rules` and `routes` say what the
kernel is to hold. All that reaches the kernel, the network or the clock comes after them.
"""

import argparse
import contextlib
import errno
import json
import math
import os
import pwd
import selectors
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any, Literal

Phase = Literal["init", "up", "degraded", "down", "recovering"]

MAIN = 254
GLOBAL = "0"
UNREACHABLE = "7"
"""What `ip -N` calls the main table, the scope of addresses that are not for one link alone, and a kind of route."""
ACTIVE = 200
"""Table that holds the route in use; table 200 + N is that of uplink N."""
PROTOCOL = 201
"""What our rules and routes are known by."""
LAST_RESORT = 4278198272
"""Metric of the route that ends an uplink's table, so that what is bound to it never leaves by another."""
ENOUGH = 10
"""Answers and losses of a target from which its loss is judged."""
REMEMBERED = 600.0
"""Seconds for which a fall prolongs the next hold."""
LONGEST = 8
"""Times the hold, at most."""
SETTLED = 10.0
"""Seconds between two looks at the kernel where nothing called for one."""


# What is configured


@dataclass(frozen=True)
class Probing:
    """How an uplink is judged: seconds, ticks and shares."""

    interval: float
    timeout: float
    down_after: int
    up_after: int
    window: float
    loss_down: float
    loss_up: float
    rtt_down: float
    rtt_up: float
    hold: float


@dataclass(frozen=True)
class Uplink:
    """One way to the internet."""

    name: str
    number: int
    interface: str
    gateway: str
    probing: Probing
    address: str | None = None
    gateway6: str | None = None
    weight: int = 1
    metered: bool = False

    @property
    def table(self) -> int:
        """Where its own default route is."""
        return ACTIVE + self.number


@dataclass(frozen=True)
class Target:
    """What answers as long as an uplink works."""

    method: Literal["icmp", "tcp", "dns"]
    address: str
    port: int | None = None

    @property
    def version(self) -> Literal[4, 6]:
        """Version of the internet protocol."""
        return 6 if ":" in self.address else 4

    def __str__(self) -> str:
        """`tcp 192.0.2.1:443`."""
        return f"{self.method} {self.address}" + (f":{self.port}" if self.port else "")


@dataclass(frozen=True)
class Pin:
    """What keeps to one uplink; of `user`, `source` and `mesh` one is given."""

    uplink: str
    user: str | None = None
    source: str | None = None
    mesh: bool = False


@dataclass(frozen=True)
class Config:
    """The whole file."""

    uplinks: tuple[Uplink, ...]
    targets: tuple[Target, ...]
    quorum: int = 2
    mode: Literal["failover", "weighted"] = "failover"
    failback: Literal["auto", "manual"] = "auto"
    on_degraded: Literal["drain", "cut", "ignore"] = "drain"
    cut: bool = True
    hook: str | None = None
    metrics: str | None = None
    pins: tuple[Pin, ...] = ()

    @cached_property
    def ranked(self) -> tuple[str, ...]:
        """Names of the uplinks, the preferred one first and those that are metered last."""
        return tuple(uplink.name for uplink in sorted(self.uplinks, key=lambda each: each.metered))

    def uplink(self, name: str) -> Uplink:
        """The uplink of that name. KeyError where there is none."""
        return self._named[name]

    @cached_property
    def _named(self) -> Mapping[str, Uplink]:
        return {each.name: each for each in self.uplinks}


def configured(text: str) -> Config:
    """The file's content. ValueError, TypeError or KeyError where it is not one of ours."""
    raw = json.loads(text)
    uplinks = tuple(Uplink(**{**each, "probing": Probing(**each["probing"])}) for each in raw.pop("uplinks"))
    targets = tuple(Target(**each) for each in raw.pop("targets"))
    return Config(uplinks, targets, pins=tuple(Pin(**each) for each in raw.pop("pins", ())), **raw)


# What is seen, known and decided


@dataclass(frozen=True)
class Answer:
    """What became of one probe."""

    uplink: str
    target: int
    rtt: float | None
    """Seconds; None: no answer in time."""


@dataclass(frozen=True)
class Tick:
    """What became of all probes that were sent at one time."""

    uplink: str
    sent: float
    met: bool
    """As many as the quorum asks for answered."""
    whole: bool = True
    """All targets were asked; one alone may be a dead target's fault."""
    late: float = 0.0
    """Seconds for which the agent itself did not run meanwhile."""


@dataclass(frozen=True)
class Link:
    """The interface of an uplink got or lost its carrier."""

    uplink: str
    carrier: bool


@dataclass(frozen=True)
class Asked:
    """Which targets are asked by an uplink from now on: those of a version that it lost are not."""

    uplink: str
    targets: frozenset[int]


@dataclass(frozen=True)
class Order:
    """What an operator wants."""

    kind: Literal["switch", "release", "pause", "resume"]
    uplink: str = ""
    until: float | None = None


Seen = Answer | Tick | Link | Asked | Order


@dataclass(frozen=True)
class Sample:
    """One probe in the window."""

    at: float
    rtt: float | None


@dataclass(frozen=True)
class Health:
    """What is known of one uplink."""

    phase: Phase = "init"
    since: float = 0.0
    carrier: bool = True
    missed: int = 0
    """Ticks in a row without a quorum."""
    met: int = 0
    """Ticks in a row with one."""
    last_met: float = -math.inf
    """When the youngest tick was sent that was met."""
    heard: float = -math.inf
    """When a tick was last seen to be met."""
    samples: Mapping[int, tuple[Sample, ...]] = field(default_factory=dict)
    falls: tuple[float, ...] = ()
    """When it left use for what it did."""
    hold: float = 0.0
    """Seconds that it has to stay well this time."""
    cut: bool = False
    """Its connections were closed since it fell, or need not be."""


@dataclass(frozen=True)
class State:
    """All that the agent knows and does not read from the kernel."""

    uplinks: Mapping[str, Health]
    active: tuple[str, ...] = ()
    forced: str | None = None
    until: float | None = None
    fell: bool = False
    """Whether the uplink that is forced was down since: then it has a hold to stay well for, as any other."""
    paused: bool = False
    switches: int = 0
    switched: float | None = None

    @property
    def frozen(self) -> bool:
        """All uplinks look bad, so that target or host is suspected and nothing is moved."""
        return all(health.phase in {"down", "degraded"} for health in self.uplinks.values())


@dataclass(frozen=True)
class Switch:
    """Have other uplinks carry what is new."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Cut:
    """Close what still goes by an uplink that no longer carries it."""

    uplink: str


Decision = Switch | Cut


def begin(config: Config, active: Sequence[str], kept: State | None, now: float) -> State:
    """The state to start with: the route is what the kernel has, and nothing that was held is used at once."""
    ranked = config.ranked
    first = min((ranked.index(name) for name in active), default=-1)
    uplinks = {}
    for index, name in enumerate(ranked):
        before = kept.uplinks.get(name, Health()) if kept else Health()
        waits = index < first or (config.mode == "weighted" and active and name not in active)
        uplinks[name] = (
            _waiting(config, name, before, now) if waits else Health(since=now, falls=before.falls)
        )
    state = State(uplinks, tuple(active))
    if kept is None:
        return state
    forced = kept.forced if kept.forced in uplinks else None
    return replace(
        state,
        forced=forced,
        until=kept.until if forced else None,
        fell=kept.fell and forced is not None,
        paused=kept.paused,
        switches=kept.switches,
        switched=kept.switched,
    )


def _waiting(config: Config, name: str, before: Health, now: float) -> Health:
    """An uplink that an agent before us was not on: it has to stay well as if it had only now come back."""
    if before.phase in {"recovering", "down"}:
        known = Health(before.phase, before.since, falls=before.falls, hold=before.hold)
        return replace(known, cut=before.phase == "down")
    hold = _hold(config.uplink(name).probing, before.falls or (now,), now)
    return Health("recovering", now, falls=before.falls, hold=hold)


def step(config: Config, state: State, seen: Seen | None, now: float) -> tuple[State, tuple[Decision, ...]]:
    """What is known after something was seen, or after time passed; and what to do."""
    failback = config.failback == "auto"
    known = dict(state.uplinks)
    doubtful = config.ranked
    if isinstance(seen, Order):
        state = _ordered(state, seen)
        failback = failback or seen.kind == "release"
    elif seen is not None and seen.uplink in known:
        doubtful = (seen.uplink,)
        known[seen.uplink] = _noted(known[seen.uplink], config.uplink(seen.uplink).probing, seen, now)
    if state.until is not None and now >= state.until:
        state = replace(state, forced=None, until=None, fell=False)
    judged = known | {name: _judged(config, name, known[name], now) for name in doubtful}
    return _decided(config, replace(state, uplinks=judged), failback, now)


def _ordered(state: State, order: Order) -> State:
    if order.kind in {"pause", "resume"}:
        return replace(state, paused=order.kind == "pause")
    forced = order.uplink if order.kind == "switch" and order.uplink in state.uplinks else None
    return replace(state, forced=forced, until=order.until if forced else None, fell=False)


def _noted(health: Health, probing: Probing, seen: Answer | Tick | Link | Asked, now: float) -> Health:
    if isinstance(seen, Link):
        lost = {} if seen.carrier else {"met": 0}
        return replace(health, carrier=seen.carrier, **lost)  # type: ignore[arg-type]
    if isinstance(seen, Answer | Asked):
        return replace(health, samples=_sampled(health.samples, probing, seen, now))
    if seen.met:
        last = max(health.last_met, seen.sent)
        return replace(health, met=health.met + 1, missed=0, last_met=last, heard=now)
    if seen.late > probing.interval:  # what was not heard while we did not run proves nothing
        return health
    if seen.sent < health.last_met:  # it took its whole timeout, while a younger one was answered
        return replace(health, met=0) if seen.whole else health
    return replace(health, missed=health.missed + 1, met=0 if seen.whole else health.met)


def _sampled(
    samples: Mapping[int, tuple[Sample, ...]], probing: Probing, seen: Answer | Asked, now: float
) -> Mapping[int, tuple[Sample, ...]]:
    if isinstance(seen, Asked):
        return {target: found for target, found in samples.items() if target in seen.targets}
    before = samples.get(seen.target, ())
    kept = tuple(sample for sample in before if sample.at > now - probing.window)
    kept = kept if len(kept) >= ENOUGH else before[1 - ENOUGH :]
    return {**samples, seen.target: (*kept, Sample(now, seen.rtt))}


def quality(health: Health, quorum: int) -> tuple[float, float] | None:
    """Loss and median round trip of the target that is last in the quorum; None: too little was asked yet."""
    asked = [samples for samples in health.samples.values() if len(samples) >= ENOUGH]
    quorum = min(quorum, len(health.samples))
    if len(asked) < quorum or not asked:
        return None
    losses = sorted(sum(sample.rtt is None for sample in samples) / len(samples) for samples in asked)
    answered = [[sample.rtt for sample in samples if sample.rtt is not None] for samples in asked]
    trips = sorted(statistics.median(times) if times else math.inf for times in answered)
    return losses[quorum - 1], trips[quorum - 1]


def _judged(config: Config, name: str, health: Health, now: float) -> Health:
    probing = config.uplink(name).probing
    phase = _phase(config, probing, health, now)
    if phase == health.phase:
        return health
    changed = replace(health, phase=phase, since=now, cut=health.cut and phase in {"down", "degraded"})
    if health.phase in {"up", "recovering"} and phase in {"down", "degraded"}:
        falls = tuple(fall for fall in health.falls if fall > now - REMEMBERED)
        changed = replace(changed, falls=(*falls, now)[-LONGEST:])
    if phase == "recovering":
        fresh = {} if health.phase == "down" else health.samples
        changed = replace(changed, samples=fresh, hold=_hold(probing, health.falls, now))
    return changed


def _hold(probing: Probing, falls: Sequence[float], now: float) -> float:
    recent = sum(fall > now - REMEMBERED for fall in falls)
    if not falls:  # it comes up for the first time, as a link does that was slow at boot
        return 0.0
    return float(probing.hold * min(LONGEST, 2 ** max(0, recent - 1)))


def _phase(config: Config, probing: Probing, health: Health, now: float) -> Phase:
    if not health.carrier or health.missed >= probing.down_after:
        return "down"
    if health.phase == "init":
        return "up" if health.met else "init"
    if health.phase == "down":
        return "recovering" if health.met >= probing.up_after else "down"
    found = quality(health, config.quorum) if config.on_degraded != "ignore" else (0.0, 0.0)
    good = found is not None and found[0] <= probing.loss_up and found[1] <= probing.rtt_up
    bad = found is not None and (found[0] > probing.loss_down or found[1] > probing.rtt_down)
    if bad:
        return "degraded"
    if health.phase == "degraded":
        return "recovering" if good else "degraded"
    held = now < health.since + health.hold or health.met < probing.up_after
    return "recovering" if health.phase == "recovering" and (held or not good) else "up"


def _clean(config: Config, name: str, health: Health) -> bool:
    probing, found = config.uplink(name).probing, quality(health, config.quorum)
    return found is not None and found[0] <= probing.loss_up and found[1] <= probing.rtt_up


def _decided(config: Config, state: State, failback: bool, now: float) -> tuple[State, tuple[Decision, ...]]:
    if state.forced and state.uplinks[state.forced].phase == "down":
        state = replace(state, fell=True)
    if state.paused:
        return state, ()
    decisions: list[Decision] = []
    wanted, why = _wanted(config, state, failback, now)
    if wanted != state.active:
        decisions.append(Switch(state.active, wanted, why))
        if state.active:
            state = replace(state, switches=state.switches + 1, switched=now)
        state = replace(state, active=wanted)
    serves = any(_answers(state.uplinks[name]) for name in state.active)
    for name in config.ranked if serves else ():
        health = state.uplinks[name]
        if _to_cut(config, health) and not health.cut and name not in state.active:
            decisions.append(Cut(name))
            state = replace(state, uplinks={**state.uplinks, name: replace(health, cut=True)})
    return state, tuple(decisions)


def _answers(health: Health) -> bool:
    return health.phase in {"up", "recovering", "degraded"} and health.missed == 0


def _to_cut(config: Config, health: Health) -> bool:
    dead = health.phase == "down" and not (health.carrier and health.met)
    return (dead and config.cut) or (health.phase == "degraded" and config.on_degraded == "cut")


def _wanted(config: Config, state: State, failback: bool, now: float) -> tuple[tuple[str, ...], str]:
    """Uplinks to be on, and why."""
    if state.forced and _to_force(state, state.forced):
        return (state.forced,), f"`{state.forced}` was asked for"
    if not state.active:
        return _first(config, state), "the first that answers"
    if config.mode == "weighted":
        return _spread(config, state, failback, now), "what works changed"
    active = state.active[0]
    if (left := _refuge(config, state, active, now)) is not None:
        return (left,), f"`{active}` is {state.uplinks[active].phase}"
    ranked = config.ranked
    for name in ranked[: ranked.index(active)] if failback else ():
        if state.uplinks[name].phase == "up" and _answers(state.uplinks[name]):
            return (name,), f"`{name}` is back"
    return state.active, ""


def _to_force(state: State, name: str) -> bool:
    """Whether to be on an uplink because an operator asked for it: at once, and after it was down once it held."""
    if state.fell and state.active != (name,):
        return state.uplinks[name].phase == "up"
    return state.uplinks[name].phase not in {"down", "init"}


def _first(config: Config, state: State) -> tuple[str, ...]:
    """The best there is once the verdict on all that are preferred is known."""
    if config.mode == "weighted" and any(health.phase == "init" for health in state.uplinks.values()):
        return ()
    found: list[str] = []
    for name in config.ranked:
        if state.uplinks[name].phase == "init":
            break
        if state.uplinks[name].phase != "down":
            found.append(name)
    found.sort(key=lambda name: _RANK[state.uplinks[name].phase])
    if config.mode == "weighted":
        return _unmetered(config, [name for name in config.ranked if name in found])
    return tuple(found[:1])


_RANK: Mapping[Phase, int] = {"up": 0, "recovering": 1, "degraded": 2, "init": 3, "down": 4}


def _refuge(config: Config, state: State, leaving: str, now: float) -> str | None:
    """Where to go from an uplink that is bad; None: it is not, or nothing is known to be better."""
    mine = state.uplinks[leaving]
    if mine.phase not in {"down", "degraded"} or (mine.phase == "down" and mine.met):
        return None
    others = {name: state.uplinks[name] for name in config.ranked if name != leaving}
    if mine.phase == "degraded":
        fit = [name for name, each in others.items() if each.phase == "up" and _clean(config, name, each)]
    else:  # what fails with us at the same time fails for another reason than this uplink
        proven = mine.last_met if mine.carrier else -math.inf
        fit = [
            name
            for name, each in others.items()
            if each.last_met > proven and now - each.heard <= 2 * config.uplink(name).probing.interval
        ]
    fit = [name for name in fit if _answers(others[name])]
    return min(fit, key=lambda name: _RANK[state.uplinks[name].phase], default=None)


def _spread(config: Config, state: State, failback: bool, now: float) -> tuple[str, ...]:
    """All that work, the metered ones only where no other does."""
    kept = [name for name in state.active if _refuge(config, state, name, now) is None]
    joined = [
        name for name in config.ranked if state.uplinks[name].phase == "up" and (failback or name in kept)
    ]
    found = [name for name in config.ranked if name in kept or name in joined]
    if not found:
        refuge = _refuge(config, state, state.active[0], now)
        found = [refuge] if refuge else list(state.active)
    if any(_answers(state.uplinks[name]) for name in found):
        return _unmetered(config, found)
    return state.active


def _unmetered(config: Config, names: Iterable[str]) -> tuple[str, ...]:
    listed = tuple(names)
    free = tuple(name for name in listed if not config.uplink(name).metered)
    return free or listed


# What the kernel is to hold


@dataclass(frozen=True)
class Way:
    """How an uplink is left at present, in one version of the internet protocol."""

    address: str
    gateway: str | None
    """None: point to point."""


@dataclass(frozen=True)
class Port:
    """What the kernel says of an uplink's interface."""

    carrier: bool = False
    ways: Mapping[int, Way] = field(default_factory=dict)
    """By version, 4 and 6."""
    addresses: tuple[str, ...] = ()
    """All that it has for more than its own link, each with its network's length."""

    @cached_property
    def networks(self) -> tuple[str, ...]:
        """What is on the same cable."""
        return tuple(sorted({str(ip_interface(each).network) for each in self.addresses}))


def rules(
    config: Config, state: State, ports: Mapping[str, Port], users: Mapping[str, int], version: int
) -> list[str]:
    """Arguments of `ip rule add`, in the order in which they apply."""
    if version == 6 and not any(uplink.gateway6 for uplink in config.uplinks):
        return []
    wanted = [
        f"pref 90 lookup {MAIN} suppress_prefixlength 0",
        f"pref 100 fwmark 0x100/0x100 lookup {ACTIVE}",
    ]
    for uplink in config.uplinks:
        mark = f"fwmark {uplink.number:#x}/0xff"
        wanted.append(f"pref {109 + uplink.number} {mark} lookup {uplink.table}")
    owners: dict[str, Uplink] = {}
    for uplink in config.uplinks:
        for address in sources(config, uplink, ports[uplink.name], version):
            owners.setdefault(address, uplink)
    wanted += [f"pref {119 + each.number} from {own} lookup {each.table}" for own, each in owners.items()]
    dead = [name for name, health in state.uplinks.items() if health.phase == "down"]
    # After the addresses: a connection that began elsewhere while the pin's uplink was down stays there to its end.
    for index, pin in enumerate(config.pins):
        if pin.uplink in dead and len(dead) < len(state.uplinks):
            continue
        lookup = f"lookup {config.uplink(pin.uplink).table}"
        if pin.user and pin.user in users:
            wanted.append(f"pref {130 + index} uidrange {users[pin.user]}-{users[pin.user]} {lookup}")
        if pin.source and (":" in pin.source) == (version == 6):
            source = pin.source.removesuffix("/32" if version == 4 else "/128")  # as the kernel tells it
            wanted.append(f"pref {130 + index} from {source} {lookup}")
        if pin.mesh:
            wanted.insert(1, f"pref 95 fwmark 0x100/0x100 {lookup}")
    wanted.append(f"pref 200 lookup {ACTIVE}")
    return [f"{rule} protocol {PROTOCOL}" for rule in wanted]


def sources(config: Config, uplink: Uplink, port: Port, version: int) -> tuple[str, ...]:
    """Addresses from which traffic leaves by an uplink, the one that it is left by first.

    They are all that its interface has, as those of a network of several or one that moves between hosts; where it
    shares the interface, those in its gateway's network.
    """
    way = port.ways.get(version)
    if way is None:
        return ()
    found = [each for each in map(ip_interface, port.addresses) if each.version == version]
    if sum(other.interface == uplink.interface for other in config.uplinks) > 1:
        found = [each for each in found if way.gateway and ip_address(way.gateway) in each.network]
    return tuple(dict.fromkeys((way.address, *sorted(str(each.ip) for each in found))))


def routes(config: Config, ports: Mapping[str, Port], active: Sequence[str], version: int) -> list[str]:
    """Arguments of `ip route replace`, but for the protocol."""
    everything = "0.0.0.0/0" if version == 4 else "::/0"
    wanted = []
    for uplink in config.uplinks:
        if way := ports[uplink.name].ways.get(version):
            wanted.append(f"{everything} {_leave(uplink, way)} table {uplink.table}")
        if version == 4 or uplink.gateway6:
            wanted.append(f"unreachable {everything} table {uplink.table} metric {LAST_RESORT}")
    carrying = carriers(config, ports, active, version)
    if len(carrying) == 1:
        leave = _leave(carrying[0], ports[carrying[0].name].ways[version])
        wanted.append(f"{everything} {leave} table {ACTIVE}")
    elif carrying:
        hops = " ".join(
            f"nexthop {_leave(each, replace(ports[each.name].ways[version], address=''))} weight {each.weight}"
            for each in carrying
        )
        wanted.append(f"{everything} table {ACTIVE} {hops}")
    return wanted


def carriers(config: Config, ports: Mapping[str, Port], active: Sequence[str], version: int) -> list[Uplink]:
    """The uplinks in use that have this version; where none has, another's is better than none."""
    able = [name for name in config.ranked if version in ports[name].ways]
    found = [name for name in active if name in able]
    if active and not found:
        found = [name for name in able if ports[name].carrier][:1]
    return [config.uplink(name) for name in found]


def _leave(uplink: Uplink, way: Way) -> str:
    via = f"via {way.gateway} " if way.gateway else ""
    source = f" src {way.address}" if way.address else ""
    return f"{via}dev {uplink.interface}{source}" + (" onlink" if way.gateway else "")


def rule_read(rule: Mapping[str, Any]) -> str:
    """One entry of `ip -N -j rule` as `rules` writes it."""
    words = [f"pref {rule['priority']}"]
    if rule.get("src", "all") != "all":
        words.append(f"from {rule['src']}" + (f"/{rule['srclen']}" if "srclen" in rule else ""))
    if "fwmark" in rule:
        mark, mask = (int(str(rule.get(key, "0xffffffff")), 0) for key in ("fwmark", "fwmask"))
        words.append(f"fwmark {mark:#x}/{mask:#x}")
    if "uid_start" in rule:
        words.append(f"uidrange {rule['uid_start']}-{rule['uid_end']}")
    words.append(f"lookup {rule.get('table', 0)}")
    if "suppress_prefixlen" in rule:
        words.append(f"suppress_prefixlength {rule['suppress_prefixlen']}")
    return " ".join([*words, f"protocol {rule.get('protocol', 0)}"])


def route_read(route: Mapping[str, Any], version: int) -> str:
    """One entry of `ip -N -j route show` as `routes` writes it."""
    everything = "0.0.0.0/0" if version == 4 else "::/0"
    if str(route.get("type")) == UNREACHABLE:
        return f"unreachable {everything} table {route['table']} metric {route['metric']}"
    if "nexthops" in route:
        hops = " ".join(f"nexthop {_hop_read(hop)} weight {hop['weight']}" for hop in route["nexthops"])
        return f"{everything} table {route['table']} {hops}"
    return f"{everything} {_hop_read(route)} table {route['table']}"


def _hop_read(hop: Mapping[str, Any]) -> str:
    gateway = hop.get("gateway") or (hop.get("via") or {}).get("host")
    via = f"via {gateway} " if gateway else ""
    source = f" src {hop['prefsrc']}" if "prefsrc" in hop else ""
    return f"{via}dev {hop['dev']}{source}" + (" onlink" if "onlink" in hop.get("flags", ()) else "")


def amends(wanted: Sequence[str], found: Sequence[str], kind: Literal["rule", "route"]) -> list[str]:
    """Lines of `ip -batch` that make of what was found what is wanted; what is to be comes before what is not."""
    add = "rule add" if kind == "rule" else f"route replace proto {PROTOCOL}"
    lines = [f"{add} {each}" for each in wanted if each not in found]
    places = {_place(each) for each in wanted} if kind == "route" else set()
    stale = [each for each in found if each not in wanted and _place(each) not in places]
    return lines + [f"{kind} del {each}" for each in stale]


def _place(route: str) -> tuple[str, bool]:
    """Where a route stands: one that is replaced need not be deleted, and must not."""
    words = route.split()
    return words[words.index("table") + 1] if "table" in words else route, words[0] == "unreachable"


def port_of(
    uplink: Uplink, interfaces: Mapping[str, Any], defaults: Mapping[int, Sequence[Any]], before: Port
) -> Port:
    """An uplink's interface, of `ip -j addr` and the default routes of `main`.

    Where a router is `auto` and `main` has none at the moment, as while networkd starts anew, the last one stands.
    """
    interface = interfaces.get(uplink.interface, {})
    ways: dict[int, Way] = {}
    for version, written in ((4, uplink.gateway), (6, uplink.gateway6)):
        if written is None:
            continue
        found = [route for route in defaults[version] if route.get("dev") == uplink.interface]
        gateway: str | None = written
        if written == "auto":
            if not found and version not in before.ways:
                continue
            gateway = _newest(found, version).get("gateway") if found else before.ways[version].gateway
        wish = uplink.address if version == 4 else None
        if address := _address(interface.get("addr_info", ()), version, gateway, wish):
            ways[version] = Way(address, gateway)
    flags = set(interface.get("flags", ()))
    held = {
        f"{each['local']}/{each['prefixlen']}"
        for each in interface.get("addr_info", ())
        if str(each["scope"]) == GLOBAL
    }
    return Port({"UP", "LOWER_UP"} <= flags, ways if "UP" in flags else {}, tuple(sorted(held)))


def _newest(found: Sequence[Mapping[str, Any]], version: int) -> Mapping[str, Any]:
    """The default route that counts of those of one interface.

    Of two that are alike the kernel lists the later one last. The earlier is of a lease that had another router:
    networkd, told to leave routes alone that it does not know, knows none that it made before it was restarted.
    """
    least = min(int(route.get("metric", 0)) for route in found)
    alike = [route for route in found if int(route.get("metric", 0)) == least]
    return alike[-1] if version == 4 else alike[0]


def _address(found: Iterable[Mapping[str, Any]], version: int, gateway: str | None, wish: str | None) -> str:
    """The address to leave by: the one wished for, or the first in the gateway's network, or the first.

    One of a local IPv6 network (fd00::/8) comes last: nothing would come back to it.
    """
    family = "inet" if version == 4 else "inet6"
    mine = [
        ip_interface(f"{each['local']}/{each['prefixlen']}")
        for each in found
        if each["family"] == family
        and str(each["scope"]) == GLOBAL
        and not {"temporary", "deprecated", "tentative", "dadfailed"} & set(each)
    ]
    if wish:
        return wish if wish in {str(each.ip) for each in mine} else ""
    near = [each for each in mine if gateway and ip_address(gateway) in each.network]
    best = min(near or mine, key=lambda each: each.ip.packed[0] & 0xFE == 0xFC, default=None)
    return str(best.ip) if best else ""


# What is told


def described(
    config: Config, state: State, ports: Mapping[str, Port], now: float, wall: float
) -> dict[str, Any]:
    """The state as people and programs read it, times in seconds since 1970; `kept` is for the next start."""
    ahead = wall - now
    return {
        "version": 1,
        "running": True,
        "at": wall,
        "mode": config.mode,
        "active": list(state.active),
        "forced": state.forced,
        "forced_until": state.until and state.until + ahead,
        "paused": state.paused,
        "frozen": state.frozen,
        "switches": state.switches,
        "last_switch": state.switched and state.switched + ahead,
        "uplinks": [_told(config, name, state, ports[name], ahead) for name in config.ranked],
        "kept": _kept(state),
    }


def _told(config: Config, name: str, state: State, port: Port, ahead: float) -> dict[str, Any]:
    health, uplink = state.uplinks[name], config.uplink(name)
    loss, rtt = quality(health, config.quorum) or (None, None)
    return {
        "name": name,
        "number": uplink.number,
        "interface": uplink.interface,
        "phase": health.phase,
        "since": health.since + ahead,
        "active": name in state.active,
        "carrier": health.carrier,
        "loss": loss,
        "rtt": rtt if rtt is not None and math.isfinite(rtt) else None,
        "usable_at": health.since + health.hold + ahead if health.phase == "recovering" else None,
        **{f"ipv{version}": asdict(way) for version, way in sorted(port.ways.items())},
    }


def _kept(state: State) -> dict[str, Any]:
    """Times are those of the monotonic clock, which goes on as long as the folder of the state is kept."""
    fields = ("phase", "since", "falls", "hold")
    return {
        "forced": state.forced,
        "until": state.until,
        "fell": state.fell,
        "paused": state.paused,
        "switches": state.switches,
        "switched": state.switched,
        "uplinks": {
            name: {field: getattr(health, field) for field in fields}
            for name, health in state.uplinks.items()
        },
    }


def recalled(told: Mapping[str, Any]) -> State:
    """What `described` kept. KeyError or TypeError where it is not one of ours."""
    kept = dict(told["kept"])
    uplinks = {
        name: Health(each["phase"], each["since"], falls=tuple(each["falls"]), hold=each["hold"])
        for name, each in kept.pop("uplinks").items()
    }
    return State(uplinks, **kept)


def metrics(told: Mapping[str, Any]) -> str:
    """What `described` says, for Prometheus' textfile collector."""
    by_uplink: dict[str, tuple[str, Callable[[Mapping[str, Any]], Any]]] = {
        "up": ("The uplink may be used.", lambda each: each["phase"] in {"up", "degraded"}),
        "active": ("The uplink carries new connections.", lambda each: each["active"]),
        "degraded": ("The uplink loses or delays too much.", lambda each: each["phase"] == "degraded"),
        "loss_ratio": ("Lost probes of the last target in the quorum.", lambda each: each["loss"]),
        "rtt_seconds": ("Median round trip of the last target in the quorum.", lambda each: each["rtt"]),
    }
    lines = []
    for name, (what, value) in by_uplink.items():
        lines += [f"# HELP stackctl_wan_{name} {what}", f"# TYPE stackctl_wan_{name} gauge"]
        for each in told["uplinks"]:
            if (found := value(each)) is not None:
                lines.append(f'stackctl_wan_{name}{{uplink="{each["name"]}"}} {float(found):g}')
    single = {
        "frozen": ("gauge", "All uplinks look bad and nothing is moved.", told["frozen"]),
        "paused": ("gauge", "An operator has suspended switching.", told["paused"]),
        "forced": ("gauge", "An operator has chosen the uplink.", told["forced"] is not None),
        "switches_total": ("counter", "Switches from one uplink to another.", told["switches"]),
        "last_switch_timestamp_seconds": ("gauge", "When the last switch was.", told["last_switch"]),
        "last_run_timestamp_seconds": ("gauge", "When the agent wrote this.", told["at"]),
    }
    for name, (kind, what, number) in single.items():
        lines += [f"# HELP stackctl_wan_{name} {what}", f"# TYPE stackctl_wan_{name} {kind}"]
        lines.append(f"stackctl_wan_{name} {float(number or 0):.15g}")
    return "\n".join(lines) + "\n"


# Probes


@dataclass
class Round:
    """The probes that left at one time, until each has its answer or none in time."""

    sent: float
    whole: bool
    need: int
    waiting: set[int]
    answered: int = 0
    late: float = 0.0

    @property
    def met(self) -> bool:
        """As many answered as have to."""
        return self.answered >= self.need


class Prober:
    """Probes one uplink: one target at a time, and all of them as soon as one is late."""

    def __init__(
        self, config: Config, uplink: Uplink, selector: selectors.BaseSelector, report: Callable[[Seen], None]
    ) -> None:
        self.uplink = uplink
        self.versions: frozenset[int] = frozenset()
        self.phase: Phase = "init"
        self.due = time.monotonic()
        self._config = config
        self._selector = selector
        self._report = report
        self._rounds: list[Round] = []
        self._last: Round | None = None
        self._turn = self._sequence = 0
        self._token = os.urandom(10)
        self._raw: dict[int, socket.socket] = {}
        self._pings: dict[int, tuple[Round, int]] = {}
        self._open: dict[socket.socket, tuple[Round, int]] = {}

    def wake(self) -> float:
        """When there is something to do."""
        return min([self.due, *(each.sent + self.uplink.probing.timeout for each in self._rounds)])

    def work(self, now: float, lag: float) -> None:
        """Judge what has had its time, and ask again where it is time to; `lag`: seconds we did not run."""
        for each in list(self._rounds):
            each.late = max(each.late, lag)
            if now >= each.sent + self.uplink.probing.timeout:
                self._end(each)
        if now >= self.due:
            doubtful = self._last is not None and not self._last.met
            hurried = doubtful and self.phase != "down"
            self.due = now + self.uplink.probing.interval / (2 if hurried else 1)
            self.ask(now, whole=doubtful or self.phase not in {"up", "degraded"})

    @property
    def able(self) -> list[int]:
        """Targets of the versions that the uplink has."""
        return [i for i, each in enumerate(self._config.targets) if each.version in self.versions]

    def ask(self, now: float, *, whole: bool) -> Round:
        """Send the probes of one round."""
        able = self.able
        whole = whole or len(able) < 2
        self._turn += 1
        chosen = able if whole else [able[self._turn % len(able)]]
        need = max(1, min(self._config.quorum, len(chosen)))
        self._last = asked = Round(now, whole, need, set(chosen))
        self._rounds.append(asked)
        for target in chosen:
            with contextlib.suppress(OSError):  # what cannot be sent is not answered
                self._send(asked, target)
        return asked

    def _send(self, asked: Round, index: int) -> None:
        target = self._config.targets[index]
        if target.method == "icmp":
            self._sequence = (self._sequence + 1) % 0x10000
            self._pings[self._sequence] = asked, index
            self._ping(target)
            return
        kind = socket.SOCK_STREAM if target.method == "tcp" else socket.SOCK_DGRAM
        opened = self._socket(target.version, kind, 0)
        self._open[opened] = asked, index
        ready = selectors.EVENT_WRITE if target.method == "tcp" else selectors.EVENT_READ
        self._selector.register(opened, ready, lambda: self._ready(opened, target))
        try:
            opened.connect((target.address, target.port or 53))
        except BlockingIOError:
            pass
        except OSError:  # to the selector it would look like one that has connected
            del self._open[opened]
            self._drop(opened)
            raise
        if target.method == "dns":
            opened.send(QUERY)

    def _socket(self, version: int, kind: int, protocol: int) -> socket.socket:
        """A socket that leaves by this uplink and no other."""
        made = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, kind, protocol)
        try:
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self.uplink.number)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.uplink.interface.encode())
        except OSError:
            made.close()
            raise
        return made

    def _ping(self, target: Target) -> None:
        version = target.version
        if version not in self._raw:
            protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
            made = self._socket(version, socket.SOCK_RAW, protocol)
            made.setsockopt(*ECHO_REPLIES_ALONE[version])
            self._raw[version] = made
            self._selector.register(made, selectors.EVENT_READ, lambda: self._pong(made, version))
        packet = echo(8 if version == 4 else 128, self._sequence, self._token)
        try:
            self._raw[version].sendto(packet, (target.address, 0))
        except OSError:  # the interface may have been made anew
            self._drop(self._raw.pop(version))
            raise

    def _pong(self, raw: socket.socket, version: int) -> None:
        with contextlib.suppress(OSError):
            while True:
                packet = raw.recv(2048)
                body = packet[(packet[0] & 15) * 4 :] if version == 4 else packet
                if len(body) >= 16 and body[4:6] + body[8:16] == self._token:
                    sequence = int.from_bytes(body[6:8], "big")
                    self._answered(self._pings.pop(sequence, None))

    def _ready(self, opened: socket.socket, target: Target) -> None:
        asked = self._open.pop(opened, None)
        with contextlib.suppress(OSError):
            if target.method == "tcp":
                good = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            else:
                good = opened.recv(512)[:2] == QUERY[:2]
            if good:
                self._answered(asked)
        self._drop(opened)

    def _drop(self, opened: socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(opened)
        opened.close()

    def _answered(self, found: tuple[Round, int] | None) -> None:
        if found is None or found[1] not in found[0].waiting:
            return
        asked, index = found
        before = asked.met
        asked.waiting.discard(index)
        asked.answered += 1
        self._judge(index, time.monotonic() - asked.sent)
        if asked.met and not before:
            self._report(Tick(self.uplink.name, asked.sent, met=True, whole=asked.whole))
        if not asked.waiting:
            self._rounds.remove(asked)

    def _judge(self, index: int, rtt: float | None) -> None:
        if self._config.targets[index].version in self.versions:  # it may be asked no more since
            self._report(Answer(self.uplink.name, index, rtt))

    def _end(self, asked: Round) -> None:
        self._rounds.remove(asked)
        self._pings = {key: found for key, found in self._pings.items() if found[0] is not asked}
        for opened in [each for each, found in self._open.items() if found[0] is asked]:
            del self._open[opened]
            self._drop(opened)
        name = self.uplink.name
        if asked.late <= self.uplink.probing.interval:
            for index in sorted(asked.waiting):
                self._judge(index, None)
        if not asked.met:
            self._report(Tick(name, asked.sent, met=False, whole=asked.whole, late=asked.late))


QUERY = struct.pack("!6H", int.from_bytes(os.urandom(2), "big"), 0x0100, 1, 0, 0, 0) + b"\0\0\x02\0\x01"
"""Asks for the name servers of the root, which every name server knows."""
ECHO_REPLIES_ALONE = {
    4: (255, 1, struct.pack("=I", ~(1 << 0) & 0xFFFFFFFF)),
    6: (
        58,
        1,
        struct.pack(
            "=8I", *(~(1 << 1) & 0xFFFFFFFF if word == 129 // 32 else 0xFFFFFFFF for word in range(8))
        ),
    ),
}
"""ICMP_FILTER and ICMP6_FILTER, as arguments of `setsockopt`."""


def echo(kind: int, sequence: int, token: bytes) -> bytes:
    """An echo request with its checksum, which over IPv6 the kernel makes anew; the token begins with its identifier."""
    packet = struct.pack("!BBH", kind, 0, 0) + token[:2] + struct.pack("!H", sequence) + token[2:]
    total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    total = (total >> 16) + (total & 0xFFFF)
    return packet[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + packet[4:]


# The kernel


def _ip(*words: str) -> list[dict[str, Any]]:
    """What `ip` lists, all names as numbers. OSError where it fails."""
    done = subprocess.run(
        ["ip", "-Numeric", "-json", *words], capture_output=True, text=True, timeout=10, check=False
    )
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
    return [each for each in json.loads(done.stdout.strip() or "[]") if each]


def _own_routes(version: int) -> list[dict[str, Any]]:
    listed = _ip(f"-{version}", "route", "show", "table", "all", "proto", str(PROTOCOL))
    return [
        each for each in listed if each["dst"] == "default" and ACTIVE <= int(each["table"]) <= ACTIVE + 8
    ]


def _own_rules(version: int) -> list[dict[str, Any]]:
    listed = _ip(f"-{version}", "rule", "show")
    return [
        each
        for each in listed
        if str(each.get("protocol")) == str(PROTOCOL) and 90 <= each["priority"] <= 299
    ]


@dataclass(frozen=True)
class Reading:
    """What the kernel had at one time; rules and routes are ours alone, and by version as `defaults` are."""

    interfaces: Mapping[str, Any]
    defaults: Mapping[int, Sequence[Any]]
    rules: Mapping[int, Sequence[str]]
    routes: Mapping[int, Sequence[str]]


def read_kernel(versions: Sequence[int]) -> Reading:
    """Read all that we have to do with. OSError, SubprocessError or ValueError where that fails."""
    return Reading(
        {each["ifname"]: each for each in _ip("address", "show")},
        {version: _defaults(version) if version in versions else [] for version in (4, 6)},
        {version: [rule_read(rule) for rule in _own_rules(version)] for version in versions},
        {version: [route_read(route, version) for route in _own_routes(version)] for version in versions},
    )


def _batch(version: int, lines: Sequence[str]) -> None:
    """Have the kernel hold what the lines say; the next look sees what it did not take."""
    if lines:
        text = "".join(f"{line}\n" for line in lines)
        argv = ["ip", f"-{version}", "-force", "-batch", "-"]
        try:
            done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.SubprocessError) as error:
            _say(f"ip: {error!r}")
            return
        if done.returncode:
            _say(f"ip: {' '.join(done.stderr.split())}")


def replaced(version: int, interface: str, way: Way) -> bool:
    """Whether the kernel took another route as the one in use: told directly, as starting a program takes its time."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    scope, flags = (0, 4) if way.gateway else (253, 0)  # RT_SCOPE_LINK; RTNH_F_ONLINK
    with contextlib.suppress(OSError), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        fields = [
            (4, struct.pack("=I", socket.if_nametoindex(interface))),
            (7, ip_address(way.address).packed),
        ]
        fields += [(5, ip_address(way.gateway).packed)] if way.gateway else []
        fields += [(6, struct.pack("=I", 1024))] if version == 6 else []
        body = struct.pack("=8BI", family, 0, 0, 0, ACTIVE, PROTOCOL, scope, 1, flags)
        body += b"".join(struct.pack("=HH", 4 + len(value), code) + value for code, value in fields)
        kernel.settimeout(1)
        kernel.send(
            struct.pack("=IHHII", 16 + len(body), 24, 0x505, 1, 0) + body
        )  # NEWROUTE: create, replace, ack
        return bool(struct.unpack_from("=i", kernel.recv(4096), 16)[0] == 0)
    return False


def _run(*argv: str, timeout: float = 10) -> str:
    """A program's output; nothing where it is not there, fails or does not end in time."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
        return done.stdout
    return ""


def _cut(uplink: Uplink, addresses: Iterable[str], near: Iterable[str]) -> None:
    """End what still goes by an uplink: forwarded connections by mark, our own by source address.

    Those with neighbours on the uplink's own networks go on: no provider is between them.
    """
    for family in ("ipv4", "ipv6"):
        _run("conntrack", "-D", "-f", family, "--mark", f"{uplink.number:#x}/0xff")
    _close(addresses, near)


def _close(addresses: Iterable[str], near: Iterable[str] = ()) -> None:
    """Close our own connections from these addresses, but for those to networks that are near."""
    for address in addresses:
        same = [network for network in near if (":" in network) == (":" in address)]
        kept = [word for network in same for word in ("and", "not", "dst", network)]
        _run("ss", "-K", "-H", "-t", "-u", "src", address, *kept)


def _follow() -> None:
    """Have what remembers the old way find the new one."""
    for line in _run("wg", "show", "all", "endpoints").splitlines():
        interface, key, endpoint = line.split("\t")
        # Setting it anew forgets the source address of IPv6; over IPv4 the mark does that.
        if endpoint.startswith("["):
            _run("wg", "set", interface, "peer", key, "endpoint", endpoint)
    _run("resolvectl", "flush-caches")


def _hook(program: str, old: Sequence[str], new: Sequence[str]) -> None:
    argv = [program, "+".join(old) or "none", "+".join(new) or "none"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        said = f"exit status {done.returncode} {done.stderr.strip()}" if done.returncode else ""
    except (OSError, subprocess.SubprocessError) as error:
        said = str(error)
    if said:
        _say(f"hook {program}: {said}")


def _aside(work: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # the machine is short of tasks: probing goes on
        _say(f"{work.__name__.lstrip('_')}: {error}")
    return thread


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _write(path: Path, text: str) -> None:
    """The file whole or as it was."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    beside.replace(path)


def _export(path: Path, text: str) -> None:
    with contextlib.suppress(OSError):
        if path.parent.is_dir():
            _write(path, text)


def notify(*words: str) -> None:
    """Tell systemd."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
            told.send("\n".join(words).encode())


GROUPS = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x40000
"""Of rtnetlink: links, and addresses, routes and rules of both versions."""
LINKS, ADDRESSES, ROUTES, RULES = (16, 17), (20, 21), (24, 25), (32, 33)
"""Types of its messages: something new, something gone."""


@dataclass(frozen=True)
class Event:
    """What the kernel said has changed."""

    interface: str | None = None
    """Of a link; None: something else of ours may have changed."""
    carrier: bool = False
    index: int = 0
    """Number of the interface whose addresses changed."""


def events(data: bytes) -> Iterator[Event]:
    """What messages of rtnetlink mean to us: links, addresses, rules, and of routes only default ones."""
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        body = data[16:length]
        if kind in LINKS:
            flags = struct.unpack_from("=I", body, 8)[0]
            name = next((value for code, value in _attributes(body[16:]) if code == 3), b"")
            alive = kind == LINKS[0] and flags & 0x10001 == 0x10001  # IFF_UP, IFF_LOWER_UP
            yield Event(name.rstrip(b"\0").decode(errors="replace"), alive)
        elif kind in ADDRESSES:
            yield Event(index=struct.unpack_from("=I", body, 4)[0])
        elif kind in RULES or (kind in ROUTES and body[1] == 0):
            yield Event()
        data = data[max(16, (length + 3) & ~3) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, code = struct.unpack_from("=HH", data)
        yield code, data[4:length]
        data = data[max(4, (length + 3) & ~3) :]


# The agent


class Agent:
    """One loop over probes, the kernel's events, operators and the clock."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.config = config
        self._folder = folder
        self.ports: dict[str, Port] = {uplink.name: Port() for uplink in config.uplinks}
        self.ending = False
        self._selector = selectors.DefaultSelector()
        self._kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self._kernel.setblocking(False)
        self._kernel.bind((0, GROUPS))
        self._selector.register(self._kernel, selectors.EVENT_READ, self._heard)
        self._done = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._done, selectors.EVENT_READ, self._seen)
        self._reader: threading.Thread | None = None
        self._stale = False
        self._versions = (4, 6) if any(each.gateway6 for each in config.uplinks) else (4,)
        self._control()
        self._probers = [Prober(config, each, self._selector, self._observe) for each in config.uplinks]
        self._began = time.monotonic()
        self._look_at = self._write_at = self._began
        self._looked = 0.0
        self._ready = False
        self._writer: threading.Thread | None = None
        self._indexes: set[int] = set()
        self._state = begin(config, self._found(), self._recalled(), self._began)

    def run(self) -> None:
        """Until it is told to end; what the kernel holds stays."""
        self._take(read_kernel(self._versions))
        if 6 not in self._versions:  # what another configuration left; the kernel may have no IPv6 at all
            with contextlib.suppress(OSError, ValueError):
                self._amend(read_kernel((6,)))
        self._look_at = time.monotonic() + SETTLED
        while not self.ending:
            due = min([self._look_at, self._write_at, *(each.wake() for each in self._probers)])
            woken = self._selector.select(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            for key, _ in woken:
                key.data()
            for prober in self._probers:
                prober.phase = self._state.uplinks[prober.uplink.name].phase
                prober.work(now, now - due)
            self._observe(None)
            if now >= self._look_at:
                self._look(now)
            if now >= self._write_at:
                self._publish(now)
        self._publish(time.monotonic())

    def _observe(self, seen: Seen | None) -> None:
        before = self._state
        self._state, decisions = step(self.config, before, seen, time.monotonic())
        for name, health in self._state.uplinks.items():
            if health.phase != before.uplinks[name].phase:
                _say(f"phase uplink={name} phase={health.phase} before={before.uplinks[name].phase}")
                self._soon()  # pins follow
        for decision in decisions:
            if isinstance(decision, Switch):
                self._switch(decision)
            else:
                _say(f"cut uplink={decision.uplink}")
                self._unpin(decision.uplink)
                near = self.ports[decision.uplink].networks
                _aside(_cut, self.config.uplink(decision.uplink), self._addresses(decision.uplink), near)
        if self._state.frozen and not before.frozen:
            _say("frozen: all uplinks look bad, so that nothing is moved")
        if decisions or isinstance(seen, Order):
            self._soon()

    def _unpin(self, name: str) -> None:
        """Take the rules of a dead uplink's pins away before what they held is cut, and comes back at once."""
        if not any(pin.uplink == name for pin in self.config.pins):
            return
        users = dict(_users(pin.user for pin in self.config.pins if pin.user))
        well = replace(self._state, uplinks={**self._state.uplinks, name: Health("up")})
        for version in self._versions:
            before, wanted = (
                rules(self.config, state, self.ports, users, version) for state in (well, self._state)
            )
            _batch(version, amends(wanted, before, "rule"))

    def _soon(self) -> None:
        """Look, and write what is known, in this turn of the loop or the next."""
        self._look_at = self._write_at = min(self._look_at, self._write_at, time.monotonic())

    def _addresses(self, name: str) -> set[str]:
        """Those that an uplink shares with no other."""
        found = {
            uplink.name: {
                address
                for version in (4, 6)
                for address in sources(self.config, uplink, self.ports[uplink.name], version)
            }
            for uplink in self.config.uplinks
        }
        return found.pop(name).difference(*found.values())

    def _switch(self, decision: Switch) -> None:
        for version in (4, 6):
            carrying = carriers(self.config, self.ports, decision.new, version)
            way = self.ports[carrying[0].name].ways[version] if len(carrying) == 1 else None
            if way is None or not replaced(version, carrying[0].interface, way):
                wanted = routes(self.config, self.ports, decision.new, version)
                _batch(version, amends([each for each in wanted if f"table {ACTIVE}" in each], (), "route"))
        old, new = ("+".join(names) or "none" for names in (decision.old, decision.new))
        _say(f'switch from={old} to={new} why="{decision.why}"')
        _aside(_follow)
        if self.config.hook and decision.old:
            _aside(_hook, self.config.hook, decision.old, decision.new)
        self._soon()

    def _heard(self) -> None:
        try:
            while True:
                for event in events(self._kernel.recv(1 << 16)):
                    self._happened(event)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._soon()  # there was more than we could hear

    def _happened(self, event: Event) -> None:
        mine = [each.name for each in self.config.uplinks if each.interface == event.interface]
        if mine or (event.interface is None and event.index in {0, *self._indexes}):
            self._look_at = min(self._look_at, max(time.monotonic() + 0.05, self._looked + 0.25))
        self._stale = self._stale or bool(mine)
        for name in mine:
            self._carrier(name, event.carrier)

    def _carrier(self, name: str, carrier: bool) -> None:
        if self._state.uplinks[name].carrier != carrier:
            self._observe(Link(name, carrier))

    def _look(self, now: float) -> None:
        """Have the kernel read aside, as `ip` takes its time where the machine is busy, and probes must not wait."""
        self._look_at, self._looked = now + SETTLED, now
        if self._reader is not None and self._reader.is_alive():
            self._stale = True
            return
        self._stale = False
        self._reader = _aside(self._read)

    def _read(self) -> None:
        try:
            self._reading: Reading | None = read_kernel(self._versions)
        except (OSError, subprocess.SubprocessError, ValueError, LookupError) as error:
            _say(f"ip: {error!r}")
            self._reading = None
        os.eventfd_write(self._done, 1)

    def _seen(self) -> None:
        """The kernel was read: what has changed since is read once more."""
        os.eventfd_read(self._done)
        now = time.monotonic()
        if self._reader is not None and self._reader.is_alive():
            self._reader.join()
        if self._reading is None or self._stale:
            self._look_at = now + (0.05 if self._reading else 1)
            return
        self._look_at = min(self._look_at, now + SETTLED)
        self._take(self._reading)

    def _take(self, found: Reading) -> None:
        """Know the ports, and have the kernel hold what it should."""
        ours = {uplink.interface for uplink in self.config.uplinks}
        self._indexes = {each["ifindex"] for name, each in found.interfaces.items() if name in ours}
        held = {
            each["local"]
            for interface in found.interfaces.values()
            for each in interface.get("addr_info", ())
        }
        lost: set[str] = set()
        for uplink in self.config.uplinks:
            lost |= {way.address for way in self.ports[uplink.name].ways.values()} - held
            port = port_of(uplink, found.interfaces, found.defaults, self.ports[uplink.name])
            self.ports[uplink.name] = port
            self._carrier(uplink.name, port.carrier)
        if lost and self.config.cut:  # a lease brought another: nothing comes back to the old one
            _aside(_close, lost)
        self._amend(found)
        for prober in self._probers:
            versions = frozenset(self.ports[prober.uplink.name].ways)
            if versions != prober.versions:
                prober.versions = versions
                self._observe(Asked(prober.uplink.name, frozenset(prober.able)))

    def _amend(self, found: Reading) -> None:
        users = dict(_users(pin.user for pin in self.config.pins if pin.user))
        for version in found.rules:
            wanted = rules(self.config, self._state, self.ports, users, version)
            lines = amends(wanted, found.rules[version], "rule")
            carrying = routes(self.config, self.ports, self._state.active, version)
            lines += amends(carrying, found.routes[version], "route")
            if lines:
                _say(f"ipv{version}: {len(lines)} rules and routes set")
                _batch(version, lines)

    def _found(self) -> list[str]:
        """The uplinks that the route in use goes by, as an agent before us left it."""
        hops = [hop for route in _own_routes(4) if route["table"] == str(ACTIVE) for hop in _hops(route)]
        found = []
        for uplink in self.config.uplinks:
            alone = sum(each.interface == uplink.interface for each in self.config.uplinks) == 1
            if any(
                hop.get("dev") == uplink.interface and (alone or hop.get("gateway") == uplink.gateway)
                for hop in hops
            ):
                found.append(uplink.name)
        return found if self.config.mode == "weighted" else found[:1]

    def _recalled(self) -> State | None:
        with contextlib.suppress(KeyError, TypeError):
            return recalled(_left() or {})
        return None

    def _publish(self, now: float) -> None:
        self._write_at = now + 2
        told = described(self.config, self._state, self.ports, now, time.time())
        with contextlib.suppress(OSError):
            _write(self._folder / STATE, json.dumps(told, indent=1) + "\n")
        busy = self._writer is not None and self._writer.is_alive()
        if self.config.metrics and not busy:  # aside, as a slow disk must not stop us
            self._writer = _aside(_export, Path(self.config.metrics), metrics(told))
        decided = all(health.phase != "init" for health in self._state.uplinks.values())
        if not self._ready and (decided or now > self._began + 5):
            self._ready = True
            notify("READY=1")
        notify("WATCHDOG=1", f"STATUS=on {', '.join(self._state.active) or 'none'}")

    def _control(self) -> None:
        path = self._folder / CONTROL
        path.unlink(missing_ok=True)
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._door.bind(str(path))
        finally:
            os.umask(before)
        self._door.listen()
        self._door.setblocking(False)
        self._selector.register(self._door, selectors.EVENT_READ, self._knocked)

    def _knocked(self) -> None:
        with contextlib.suppress(OSError):
            caller = self._door.accept()[0]
            caller.setblocking(False)
            self._selector.register(caller, selectors.EVENT_READ, lambda: self._asked(caller))

    def _asked(self, caller: socket.socket) -> None:
        self._selector.unregister(caller)
        with caller, contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            answer = self._obey(json.loads(caller.recv(4096)))
            caller.sendall(json.dumps(answer).encode())

    def _obey(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        now = time.monotonic()
        kind, uplink, seconds = asked["command"], asked.get("uplink") or "", asked.get("seconds")
        if kind != "status":
            if kind == "switch" and self._state.uplinks[uplink].phase in {"down", "init"}:
                return {"error": f"`{uplink}` is {self._state.uplinks[uplink].phase}"}
            self._observe(Order(kind, uplink, now + seconds if seconds is not None else None))
            _say(f"order {kind} {uplink}".rstrip())
        return described(self.config, self._state, self.ports, now, time.time())


def _defaults(version: int) -> list[dict[str, Any]]:
    return [
        hop
        for route in _ip(f"-{version}", "route", "show", "default", "table", "main")
        for hop in _hops(route)
    ]


def _hops(route: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**route, **hop} for hop in route.get("nexthops", ())] or [route]


def _users(names: Iterable[str]) -> Iterator[tuple[str, int]]:
    for name in names:
        with contextlib.suppress(KeyError):  # it comes with a package that may yet be installed
            yield name, pwd.getpwnam(name).pw_uid


# The command line

STATE, CONTROL = "wan.json", "control"


def _folder() -> Path:
    """Where the state and the control socket are; systemd names it to the agent."""
    return Path(os.environ.get("RUNTIME_DIRECTORY", "/run/stackctl-wan"))


def _left() -> dict[str, Any] | None:
    """What the last agent wrote of itself."""
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads((_folder() / STATE).read_text()))
    return None


def _speak(**asked: Any) -> int:
    """Ask the agent that runs; of one that does not, the state it left is told."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(5)
            door.connect(str(_folder() / CONTROL))
            door.sendall(json.dumps(asked).encode())
            answer = json.loads(b"".join(iter(lambda: door.recv(1 << 16), b"")))
    except (OSError, ValueError) as error:
        left = _left() if asked["command"] == "status" else None
        if left is None:
            _say(f"the agent does not answer: {error}")
            return 1
        answer = {**left, "running": False}
    if "error" in answer:
        _say(answer["error"])
        return 1
    answer.pop("kept", None)
    sys.stdout.write(json.dumps(answer, indent=1) + "\n")
    return 0


def _test(config: Config, uplink: Uplink) -> int:
    """Ask all targets once through an uplink, and say what each answered."""
    answers: dict[int, float | None] = {}
    ticks: list[bool] = []

    def report(seen: Seen) -> None:
        if isinstance(seen, Answer):
            answers[seen.target] = seen.rtt
        elif isinstance(seen, Tick):
            ticks.append(seen.met)

    with selectors.DefaultSelector() as selector:
        interfaces = {each["ifname"]: each for each in _ip("address", "show")}
        port = port_of(uplink, interfaces, {version: _defaults(version) for version in (4, 6)}, Port())
        prober = Prober(config, uplink, selector, report)
        prober.versions, prober.due = frozenset(port.ways), math.inf
        prober.ask(time.monotonic(), whole=True)
        while (wake := prober.wake()) < math.inf:
            for key, _ in selector.select(max(0.0, wake - time.monotonic())):
                key.data()
            prober.work(time.monotonic(), 0.0)
    told = [{"target": str(each), "rtt": answers.get(i)} for i, each in enumerate(config.targets)]
    sys.stdout.write(
        json.dumps({"uplink": uplink.name, "good": ticks == [True], "targets": told}, indent=1) + "\n"
    )
    return 0 if ticks == [True] else 1


def _serve(config: Config) -> int:
    _folder().mkdir(parents=True, exist_ok=True)
    agent = Agent(config, _folder())

    def end(*_: object) -> None:
        agent.ending = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    agent.run()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Keeps a host on an uplink that works.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "status", "switch", "release", "pause", "resume", "test"):
        command = commands.add_parser(name)
        if name in {"switch", "test"}:
            command.add_argument("uplink")
        if name == "switch":
            command.add_argument("--for", type=float, dest="seconds", metavar="SECONDS")
        command.add_argument("file", type=Path)
    return parser.parse_args()


def main() -> int:
    """Exit status: 0 done, 1 not done, 2 asked wrongly."""
    arguments = _arguments()
    try:
        config = configured(arguments.file.read_text())
    except (OSError, ValueError, KeyError, TypeError) as error:
        _say(f"{arguments.file}: {error}")
        return 2
    uplink = getattr(arguments, "uplink", None)
    if uplink is not None and uplink not in config.ranked:
        _say(f"`{uplink}` is not an uplink; there are {', '.join(config.ranked)}")
        return 2
    if arguments.command == "run":
        return _serve(config)
    if arguments.command == "test":
        return _test(config, config.uplink(uplink or ""))
    return _speak(command=arguments.command, uplink=uplink, seconds=getattr(arguments, "seconds", None))


if __name__ == "__main__":
    sys.exit(main())
