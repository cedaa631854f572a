"""The bench: measures stackctl beside its likes on this machine, and removes everything it made.

`make bench`, or `python -m tests.bench --help`. It proves nothing that a test does and is never part of them.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from stackctl.core.finding import FindingsError
from stackctl.views.findings import findings_text
from tests.bench import environment
from tests.bench.contenders import Size, contenders
from tests.bench.measure import BrokenError
from tests.bench.plan import OPERATIONS, Race
from tests.bench.report import report
from tests.bench.results import Results
from tests.bench.scale import measure_scale
from tests.bench.startup import measure_starts
from tests.bench.target import ADDRESSES, target
from tests.bench.work import MOST


def main() -> None:
    """Run the parts asked for; an interrupt leaves nothing behind, and no results."""
    options = _options()
    for number in _INTERRUPTS:
        signal.signal(number, _interrupt)
    try:
        environment.make_environment()
        with tempfile.TemporaryDirectory(prefix="stackctl-bench-") as folder:
            results = _run(options, Path(folder))
        _publish(results, options.output)
    except FindingsError as error:
        sys.exit(findings_text(error.findings))
    except (BrokenError, subprocess.CalledProcessError) as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _run(options: argparse.Namespace, folder: Path) -> Results:
    results = Results(_machine(), _versions())
    parts: dict[str, Callable[[], None]] = {
        "start": lambda: _start(options, folder, results),
        "scale": lambda: _scale(options, folder, results),
        "plan": lambda: _plan(options, folder, results),
    }
    for part, measure in parts.items():
        if part in options.parts:
            results.load = [*results.load, os.getloadavg()[0]]
            measure()
    return results


def _start(options: argparse.Namespace, folder: Path, results: Results) -> None:
    for started in measure_starts(folder, options.starts):
        results.starts.append(started)
        _say(f"{started.command}: {started.wall * 1000:.0f} ms")


def _scale(options: argparse.Namespace, folder: Path, results: Results) -> None:
    for hosts in options.scale:
        results.scales.append(measure_scale(folder, hosts, OPERATIONS))
        _say(f"{Size(hosts, OPERATIONS)}, answered from memory: {results.scales[-1].wall:.1f} s")


def _plan(options: argparse.Namespace, folder: Path, results: Results) -> None:
    sizes = [Size(hosts, OPERATIONS) for hosts in options.hosts]
    sizes += [Size(1, operations) for operations in options.operations]
    with target(folder) as hosts:
        results.delay, results.round_trip = hosts.delay, hosts.round_trip()
        _say(f"the hosts are up, {results.round_trip * 1000:.1f} ms away")
        race = Race(hosts, folder, options.runs, options.patience, options.contenders, _say)
        results.plans.extend(race.run(list(dict.fromkeys(sizes))))


def _publish(results: Results, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    data, text = output / "results.json", report(results)
    data.write_text(results.json() + "\n")
    (output / "report.txt").write_text(text + "\n")
    if any(each.walls for each in results.plans):
        pictures = [output / f"plan.{kind}" for kind in ("svg", "png")]
        drawing: list[str | Path] = [environment.TOOLS / "python", "-m", "tests.bench.draw", data, *pictures]
        subprocess.run(drawing, check=True, cwd=environment.ROOT)
    print(text)
    _say(f"written to {output}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measure stackctl beside its likes."
    )
    add = parser.add_argument
    parts, known = ("start", "scale", "plan"), [each.name for each in contenders()]
    add("--parts", type=_words(parts), default=parts, metavar="PART,…", help=", ".join(parts))
    add(
        "--hosts",
        type=_numbers(1, len(ADDRESSES)),
        default=(1, 10, 50),
        metavar="N,…",
        help="of plans: 1,10,50",
    )
    add(
        "--operations",
        type=_numbers(4, MOST),
        default=(20, 60, 200),
        metavar="N,…",
        help="on 1 host: 20,60,200",
    )
    add("--runs", type=int, default=3, metavar="N", help="of each contender at each size: 3")
    add("--patience", type=float, default=60, metavar="S", help="one run is enough if it takes longer: 60")
    add("--contenders", type=_words(known), default=(), metavar="NAME,…", help="; ".join(known))
    add(
        "--scale",
        type=_numbers(1, 9999),
        default=(1, 100, 500, 1000),
        metavar="N,…",
        help="hosts: 1,100,500,1000",
    )
    add("--starts", type=int, default=11, metavar="N", help="runs of each command that reaches no host: 11")
    add(
        "--output",
        type=Path,
        default=environment.ROOT / ".bench",
        metavar="DIR",
        help="of the results: .bench",
    )
    return parser.parse_args()


def _words(known: Sequence[str]) -> Callable[[str], Sequence[str]]:
    def words(text: str) -> Sequence[str]:
        found = [word.strip() for word in text.split(",")]
        if unknown := [word for word in found if word not in known]:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(known)}")
        return found

    return words


def _numbers(least: int, most: int) -> Callable[[str], Sequence[int]]:
    def numbers(text: str) -> Sequence[int]:
        found = [int(word) for word in text.split(",")]
        if any(not least <= number <= most for number in found):
            raise argparse.ArgumentTypeError(f"`{text}`: from {least} to {most}")
        return found

    return numbers


def _machine() -> str:
    cpus = os.cpu_count()
    return f"{cpus} CPUs, Linux {platform.release()}, Python {platform.python_version()}; hosts on the same machine"


def _versions() -> str:
    names = "import importlib.metadata as m; print(*(m.version(n) for n in ('ansible-core', 'mitogen')))"
    said = subprocess.run(
        [environment.TOOLS / "python", "-c", names], capture_output=True, text=True, check=True
    )
    ansible, mitogen = said.stdout.split()
    ours = f"stackctl {version('stackctl')}, pyinfra {version('pyinfra')}"
    return f"{ours}, ansible-core {ansible}, Mitogen {mitogen}"


_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _interrupt(*_: object) -> NoReturn:
    """Stop once; a second interrupt must not stop the cleaning up."""
    for number in _INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
