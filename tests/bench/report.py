"""The results as people read them: tables with ratios, and the targets with what became of them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.plan import OPERATIONS
from tests.bench.results import Planned, Results, Scaled
from tests.bench.startup import HELP, VALIDATE

OURS, THEIRS = "stackctl", "pyinfra"
FEW, MANY = 20, 200
"""Operations between which the wall time of a plan is to stay nearly the same."""

FASTER = {"pyinfra": 12, "Ansible": 40}
"""How many times as long as ours the others' plan of one host is to take."""


@dataclass(frozen=True)
class Goal:
    """Something that was to be reached."""

    what: str
    found: float
    most: float
    unit: str

    def __str__(self) -> str:
        """`met     round trips of a plan: 1, at most 4`."""
        verdict = "met" if self.found <= self.most else "MISSED"
        return f"{verdict:<7} {self.what}: {self.found:.3g}{self.unit}, at most {self.most:.3g}{self.unit}"


def report(results: Results) -> str:
    """Everything, one part after another."""
    parts = [f"{results.machine}\n{results.versions}"]
    if results.load:
        parts.append(
            f"load of the machine before each part: {', '.join(f'{each:.2f}' for each in results.load)}"
        )
    if results.plans:
        away = f"{results.round_trip * 1000:.1f} ms by TCP connect, delayed by {results.delay}"
        told = "the hosts share this machine's processors: of many hosts, CPU is the fairer figure"
        parts.append(f"PLAN without changes over SSH; round trip {away}\n{told}")
        parts += _plan_tables(results)
    if results.scales:
        parts.append(f"SCALE: hosts answered from memory\n{table(_scale_rows(results.scales))}")
    if results.starts:
        parts.append(f"START\n{table(_start_rows(results))}")
    parts.append("TARGETS\n" + "\n".join(map(str, goals(results))))
    return "\n\n".join(parts)


def goals(results: Results) -> Iterator[Goal]:
    """Every target that something was measured for."""
    ours = results.plan(OURS, 1, OPERATIONS)
    for contender, times in FASTER.items():
        theirs = results.plan(contender, 1, OPERATIONS)
        if ours and theirs and theirs.walls:
            yield Goal(
                f"wall time against {contender}'s, 1 host", ours.wall / theirs.wall, 1 / times, " times"
            )
    few, many = results.plan(OURS, 1, FEW), results.plan(OURS, 1, MANY)
    if few and many:
        yield Goal(
            f"wall time of {MANY} operations against {FEW}, 1 host", many.wall / few.wall, 1.5, " times"
        )
    for hosts in _hosts(results):
        ours, theirs = results.plan(OURS, hosts, OPERATIONS), results.plan(THEIRS, hosts, OPERATIONS)
        if ours and theirs:
            what = f"CPU per host and operation against {THEIRS}'s, {_count(hosts, 'host')}"
            yield Goal(what, ours.cpu / theirs.cpu, 1, " times")
    trips = [each.round_trips for each in results.plans if each.contender == OURS and each.round_trips]
    if trips:
        yield Goal("round trips of a plan after the connection", max(trips), 4, "")
    for command, most in ((HELP, 0.15), (VALIDATE, 3.0)):
        yield from (
            Goal(command, each.wall, most, " s") for each in results.starts if each.command == command
        )


def _plan_tables(results: Results) -> Iterator[str]:
    sizes = dict.fromkeys((each.hosts, each.operations) for each in results.plans)
    for hosts, operations in sizes:
        here = [each for each in results.plans if (each.hosts, each.operations) == (hosts, operations)]
        ours = results.plan(OURS, hosts, operations)
        yield f"{_count(hosts, 'host')}, {operations} operations\n{table(_plan_rows(here, ours))}"


def _plan_rows(here: Sequence[Planned], ours: Planned | None) -> Iterator[Sequence[str]]:
    yield "", "wall, best", "median", "ratio", "CPU", "ratio", "CPU ms/(host·op)", "round trips", "runs"
    for each in here:
        if not each.walls:
            yield each.contender, f"failed: {each.failed}"
            continue
        middle = sorted(each.walls)[len(each.walls) // 2]
        per = each.cpu * 1000 / each.hosts / each.operations
        trips = "" if each.round_trips is None else str(each.round_trips)
        runs = f"{len(each.walls)}{', then failed' if each.failed else ''}"
        walls = f"{each.wall:.2f} s", f"{middle:.2f} s", _ratio(each.wall, ours.wall if ours else None)
        yield (
            each.contender,
            *walls,
            f"{each.cpu:.2f} s",
            _ratio(each.cpu, ours.cpu if ours else None),
            f"{per:.2f}",
            trips,
            runs,
        )


def _scale_rows(scales: Sequence[Scaled]) -> Iterator[Sequence[str]]:
    yield "hosts", "operations", "wall", "CPU", "CPU ms/(host·op)", "memory", "more per 100 hosts", "lines"
    base = min(scales, key=lambda each: each.hosts)
    for each in scales:
        per = each.cpu * 1000 / each.hosts / each.operations
        hundreds = (each.hosts - base.hosts) / 100
        more = f"{(each.memory - base.memory) / hundreds:.1f} MiB" if hundreds else ""
        times = f"{each.wall:.1f} s", f"{each.cpu:.1f} s", f"{per:.2f}"
        yield str(each.hosts), str(each.operations), *times, f"{each.memory:.0f} MiB", more, str(each.lines)


def _start_rows(results: Results) -> Iterator[Sequence[str]]:
    yield "", "median", "best", "runs"
    for each in results.starts:
        times = f"{each.wall * 1000:.0f} ms", f"{min(each.walls) * 1000:.0f} ms"
        yield each.command, *times, str(len(each.walls))


def _hosts(results: Results) -> list[int]:
    return sorted({each.hosts for each in results.plans})


def _ratio(value: float, base: float | None) -> str:
    return f"{value / base:.2f}" if base else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def table(rows: Iterator[Sequence[str]]) -> str:
    """The first column to the left, the others to the right; a short row's last cell may be of any length."""
    listed = [list(row) for row in rows]
    full = [row for row in listed if len(row) == len(listed[0])]
    widths = [max(len(row[column]) for row in full) for column in range(len(listed[0]))]
    widths[0] = max(widths[0], *(len(row[0]) for row in listed))
    lines = []
    for row in listed:
        cells = [f"{row[0]:<{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=False)]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return "\n".join(lines)
