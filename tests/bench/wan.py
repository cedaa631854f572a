"""How long a host is cut off when an uplink fails: `python -m tests.bench.wan`, as root.

Our agent beside keepalived, foolsm and two default routes by metric, in the same network of namespaces in one run.
Results go to `.bench/wan.json`.
"""

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from tests.bench.report import Goal, table
from tests.bench.wan_contenders import Contender, contenders
from tests.bench.wan_scenarios import RESENT, SCENARIOS, Outcome, measure

OUTPUT = Path(__file__).parents[2] / ".bench/wan.json"
GOALS = {
    ("stackctl balanced", "dead upstream"): 3.0,
    ("stackctl balanced", "dead gateway"): 3.0,
    ("stackctl balanced", "carrier loss"): 0.2,
    ("stackctl fast", "dead upstream"): 1.0,
    ("stackctl fast", "dead gateway"): 1.0,
    ("stackctl fast", "carrier loss"): 0.2,
}
"""Seconds that the longest gap is to stay under."""


def main() -> None:
    """Measure what is asked for, one after another; print and write what came of it. An interrupt leaves nothing."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    os.setpriority(os.PRIO_PROCESS, 0, -20)  # what is measured is not this machine's other work
    chosen = [each for each in contenders() if not options.only or each.name in options.only]
    machine = f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
    outcomes: list[Outcome] = []
    loads: list[float] = []
    for contender in chosen:
        for scenario in options.scenarios:
            loads.append(os.getloadavg()[0])
            found = list(_measured(contender, scenario, options.runs))
            outcomes += found
            _say(
                f"{contender.name}, {scenario}: {_cell(scenario, found)}; the session in WireGuard: {_resumed(found)}"
            )
            _write({"machine": machine, "loads": loads, "outcomes": [asdict(each) for each in outcomes]})
    print(report(machine, loads, chosen, outcomes))


def _measured(contender: Contender, scenario: str, runs: int) -> Iterator[Outcome]:
    for _ in range(runs):
        try:
            yield measure(contender, scenario)
        except (TimeoutError, RuntimeError) as error:  # one that does not come up is a gap in the table
            _say(f"{contender.name}, {scenario}: {error}")


def _write(told: dict[str, Any]) -> None:
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(told, indent=1) + "\n")


def report(
    machine: str, loads: Sequence[float], chosen: Sequence[Contender], outcomes: Sequence[Outcome]
) -> str:
    """The table, and what became of the targets."""
    noise = f"load of the machine: {min(loads):.1f} to {max(loads):.1f}"
    head = "longest gap in seconds of new flows; of loss and latency, seconds until they were noticed; the worst run counts"
    parts = [f"{machine}; {noise}", head, table(_rows([each.name for each in chosen], outcomes))]
    return "\n\n".join([*parts, "TARGETS\n" + "\n".join(map(str, goals(outcomes)))])


def _rows(names: Sequence[str], outcomes: Sequence[Outcome]) -> Iterator[Sequence[str]]:
    yield (
        "",
        *SCENARIOS,
        "lost on the way back",
        "sessions in WireGuard kept",
        "back after",
        "longest silence",
    )
    for name in names:
        mine = [each for each in outcomes if each.contender == name]
        cells = [
            _cell(scenario, [each for each in mine if each.scenario == scenario]) for scenario in SCENARIOS
        ]
        lost = [each.lost_on_the_way_back for each in mine if each.lost_on_the_way_back is not None]
        kept = f"{sum(each.session for each in mine)} of {len(mine)}"
        silence = max((each.silence for each in mine), default=0.0)
        back = str(max(lost)) if lost else "never back"
        yield name, *cells, back, kept, _resumed(mine), f"{silence:.1f} s"


def _resumed(found: Sequence[Outcome]) -> str:
    """How long the slowest session took until it carried words again, once all was over."""
    if not found:
        return ""
    times = [each.resumed for each in found if each.resumed is not None]
    return f"{max(times):.1f} s" if len(times) == len(found) else f"not within {RESENT:.0f} s"


def _cell(scenario: str, found: Sequence[Outcome]) -> str:
    if not found:
        return ""
    if scenario == "flap":
        return f"{max(each.switches for each in found)} switches"
    if scenario in {"30 % loss", "latency step"}:
        times = [each.noticed for each in found if each.noticed is not None]
        return f"{max(times):.1f}" if len(times) == len(found) else "never"
    left = all(each.noticed is not None for each in found)
    return f"{max(each.gap for each in found):.2f}" if left else "never"


def goals(outcomes: Sequence[Outcome]) -> Iterator[Goal]:
    """Every target that something was measured for."""
    for each in outcomes:
        if not each.contender.startswith("stackctl"):
            continue
        what = f"{each.contender}, {each.scenario}"
        if (most := GOALS.get((each.contender, each.scenario))) is not None:
            yield Goal(f"{what}: longest gap", each.gap, most, " s")
        if each.scenario in {"30 % loss", "latency step"}:
            yield Goal(f"{what}: noticed", each.noticed if each.noticed is not None else 999, 45, " s")
        if each.scenario == "flap":
            yield Goal(f"{what}: switches", each.switches, 1, "")
        if each.lost_on_the_way_back is not None:
            yield Goal(f"{what}: lost on the way back", each.lost_on_the_way_back, 0, "")
        yield Goal(f"{what}: sessions in WireGuard broken", 0 if each.session else 1, 0, "")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.wan", description=__doc__)
    names = [each.name for each in contenders()]
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--scenarios", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="of each: 1")
    return parser.parse_args()


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
