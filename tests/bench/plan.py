"""`stackctl plan` beside its likes: the same work, the same hosts, over real SSH, 20 ms away."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.contenders import Contender, Size, Stackctl, UnexpectedError, Way, contenders
from tests.bench.environment import variables
from tests.bench.measure import BrokenError, Taken, measure
from tests.bench.results import Planned
from tests.bench.target import Target
from tests.bench.work import work_of

OPERATIONS = 60
"""Of every comparison by hosts."""

Say = Callable[[str], None]


@dataclass
class Course:
    """One contender at one size, as its runs come in."""

    contender: Contender
    size: Size
    folder: Path
    runs: list[Taken] = field(default_factory=list)
    round_trips: int | None = None
    failed: str = ""

    def is_over(self, runs: int, patience: float) -> bool:
        """Whether it has had its runs, or is too slow for more."""
        slow = any(taken.wall > patience for taken in self.runs)
        return bool(self.failed) or len(self.runs) >= runs or slow

    def result(self) -> Planned:
        """What came of it."""
        walls = [taken.wall for taken in self.runs]
        cpus = [taken.cpu for taken in self.runs]
        name, size = self.contender.name, self.size
        return Planned(name, size.hosts, size.operations, walls, cpus, self.round_trips, self.failed)


@dataclass(frozen=True)
class Race:
    """All contenders on one target."""

    target: Target
    folder: Path
    runs: int
    patience: float
    """Seconds: a contender that took longer once is not asked again at that size."""
    only: Sequence[str]
    """Names of the contenders that take part; empty: all."""
    say: Say

    def run(self, sizes: Sequence[Size]) -> Iterator[Planned]:
        """Prove each contender, then measure them in turn, so that a disturbance meets them all."""
        chosen = [each for each in contenders() if not self.only or each.name in self.only]
        for contender in chosen:
            self._prove(self._course(contender, Size(1, OPERATIONS)))
        for size in sizes:
            courses = [self._course(contender, size) for contender in chosen]
            while waiting := [each for each in courses if not each.is_over(self.runs, self.patience)]:
                for course in waiting:
                    self._advance(course)
            yield from (course.result() for course in courses)

    def _course(self, contender: Contender, size: Size) -> Course:
        name = f"{contender.name}-{size.hosts}-{size.operations}".replace(" ", "-").replace("'", "")
        folder = self.folder / "projects" / name
        if not folder.exists():
            way = Way(size.hosts, self.target.key, self.target.known_hosts)
            contender.write(folder, work_of(size.operations), way)
        return Course(contender, size, folder)

    def _prove(self, course: Course) -> None:
        """It sees what is wrong with a host, and nothing once that is right again; this also warms its caches."""
        with self.target.spoiled() as wrong:
            self._expect(course, wrong)
        self._expect(course, 0)
        self.say(f"{course.contender.name}: sees {wrong} changes on a spoiled host, none on a whole one")

    def _advance(self, course: Course) -> None:
        """One more run; a contender that breaks is out at this size, and the others go on."""
        who = f"{course.contender.name}, {course.size}"
        try:
            taken = self._expect(course, 0)
            if course.round_trips is None and isinstance(course.contender, Stackctl):
                course.round_trips = self._round_trips(course)
        except (BrokenError, UnexpectedError) as error:
            course.failed = str(error).splitlines()[0]
            self.say(f"{who}: {error}")
        else:
            course.runs.append(taken)
            self.say(f"{who}: {taken.wall:.2f} s, {taken.cpu:.2f} s of CPU")

    def _expect(self, course: Course, changes: int) -> Taken:
        """One run, which has to find that many changes."""
        taken = self._measure(course, ())
        found = course.contender.changes(taken.said, course.size)
        if found != changes:
            raise UnexpectedError(
                f"{course.contender.name} finds {found} changes, not {changes}\n{taken.said}"
            )
        return taken

    def _round_trips(self, course: Course) -> int:
        """The most that any host took."""
        hosts = json.loads(self._measure(course, ("--json",)).said)["hosts"]
        return max(int(host["round_trips"]) for host in hosts)

    def _measure(self, course: Course, more: Sequence[str]) -> Taken:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        argv = self.target.from_operator([*course.contender.argv(course.folder), *more])
        return measure(argv, variables(home))
