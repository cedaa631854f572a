"""What a gateway costs: `python -m tests.bench.gateway`.

A model server that costs nothing, asked directly, through our gateway with and without the metrics of models, and
through LiteLLM's proxy, one after another and all of it several times. Results go to `.bench/gateway.json`.
"""

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import NoReturn

from tests.bench import gateway_load as load
from tests.bench.gateway_contenders import CONTENDERS, Way, backend, make_environment
from tests.bench.memory import held
from tests.bench.report import Goal, table

OUTPUT = Path(__file__).parents[2] / ".bench/gateway.json"
DIRECT, OURS, BARE = "direct", "stackctl", "stackctl without metrics"
MANY = 32
"""Clients of the busy gateway."""
_WARM = 5
"""Seconds in which even the slowest answers something."""


@dataclass(frozen=True)
class Outcome:
    """One round of one contender; times in milliseconds."""

    contender: str
    load: float
    """Of the machine, before."""
    median: float
    late: float
    """With one client: the time of 99 of 100 requests."""
    rate: float
    """Requests a second, with many clients."""
    cpu: float
    """Microseconds of the processor for each of them, without the backend and the clients."""
    first: float
    """Of a stream, at the median."""
    memory: float
    """MiB after all that."""
    uncounted: int | None
    """Requests that its metrics do not have."""


def main() -> None:
    """Measure what is asked for; print and write what came of it. An interrupt leaves nothing."""
    options = _options()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _interrupt)
    make_environment()
    machine = f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
    outcomes: list[Outcome] = []
    with backend():
        for number in range(options.rounds):
            for name in options.only or CONTENDERS:
                with CONTENDERS[name]() as way:
                    outcomes.append(measured(name, way, options.seconds))
                print(f"round {number + 1}: {outcomes[-1]}", file=sys.stderr, flush=True)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(
        json.dumps({"machine": machine, "outcomes": [asdict(each) for each in outcomes]}) + "\n"
    )
    print(report(machine, outcomes))


def measured(name: str, way: Way, seconds: int) -> Outcome:
    """One round of a way that is open; what it does first is not measured."""
    before = os.getloadavg()[0]
    warm = load.requests(way.address, 1, _WARM)[3]
    middle, late, _, alone = load.requests(way.address, 1, seconds)
    spent = load.processor_time(way.pids)
    _, _, rate, busy = load.requests(way.address, MANY, seconds)
    cpu = (load.processor_time(way.pids) - spent) / busy * 1_000_000
    first = load.first_bytes(way.address, 4)
    sent = warm + alone + busy + len(first)
    # The last request of each client is cut off when the time is up, which counts as an answer to none.
    uncounted = None if way.counted is None else max(0, round(sent - way.counted()))
    return Outcome(name, before, middle, late, rate, cpu, median(first), held(way.pids), uncounted)


def report(machine: str, outcomes: Sequence[Outcome]) -> str:
    """The table, and what became of the targets."""
    loads = [each.load for each in outcomes]
    rounds = len(outcomes) // len({each.contender for each in outcomes})
    heads = (
        f"{machine}; load of the machine: {min(loads):.1f} to {max(loads):.1f}; medians of {rounds} rounds",
        "requests of 1 KB; clients, gateway and model server share the processors",
    )
    middle = _medians(outcomes)
    targets = "TARGETS\n" + "\n".join(map(str, goals(middle)))
    return "\n\n".join(["\n".join(heads), table(_rows(middle)), targets])


def _medians(outcomes: Sequence[Outcome]) -> Mapping[str, Outcome]:
    found = {}
    for name in dict.fromkeys(each.contender for each in outcomes):
        mine = [each for each in outcomes if each.contender == name]
        numbers = {
            field: median(getattr(each, field) for each in mine)
            for field in ("load", "median", "late", "rate", "cpu", "first", "memory")
        }
        lost = [each.uncounted for each in mine if each.uncounted is not None]
        found[name] = Outcome(name, **numbers, uncounted=sum(lost) if lost else None)
    return found


def _rows(found: Mapping[str, Outcome]) -> Iterator[Sequence[str]]:
    yield (
        "",
        "added p50, 1 client",
        "added p99",
        f"requests/s, {MANY} clients",
        "of direct",
        "CPU a request",
        f"first byte, {load.STREAMS} streams",
        "memory",
        "not counted",
    )
    base = found.get(DIRECT)
    for name, each in found.items():
        added = (
            ("", "")
            if base is None
            else (f"{each.median - base.median:.2f} ms", f"{each.late - base.late:.2f} ms")
        )
        yield (
            name,
            *(added if each is not base else (f"({each.median:.2f} ms)", f"({each.late:.2f} ms)")),
            f"{each.rate:,.0f}",
            "" if base is None else f"{each.rate / base.rate:.1%}",
            f"{each.cpu:.0f} us" if each is not base else "",
            f"{each.first:.1f} ms",
            f"{each.memory:.0f} MiB" if each is not base else "",
            "" if each.uncounted is None else str(each.uncounted),
        )


def goals(found: Mapping[str, Outcome]) -> Iterator[Goal]:
    """Every target that something was measured for."""
    if DIRECT not in found or OURS not in found:
        return
    base, ours = found[DIRECT], found[OURS]
    yield Goal("added latency at the median, one client", ours.median - base.median, 0.15, " ms")
    yield Goal("direct throughput against ours", base.rate / ours.rate, 1 / 0.4, " times")
    if BARE in found:
        yield Goal("CPU a request against that without metrics", ours.cpu / found[BARE].cpu, 2, " times")
    if ours.uncounted is not None:
        yield Goal("requests that the metrics do not have", ours.uncounted, 0, "")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gateway", description=__doc__)
    names = ", ".join(CONTENDERS)
    parser.add_argument("--only", action="append", choices=list(CONTENDERS), metavar="NAME", help=names)
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="of each: 4")
    parser.add_argument("--seconds", type=int, default=5, metavar="N", help="of load: 5")
    return parser.parse_args()


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
