"""What was measured, as data: printed, drawn and kept as JSON."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Planned:
    """One contender at one size."""

    contender: str
    hosts: int
    operations: int
    walls: Sequence[float]
    """Seconds of each run, in order."""
    cpus: Sequence[float]
    """Processor seconds of the operator's machine, likewise."""
    round_trips: int | None = None
    """Exchanges after the connection, where the contender tells."""
    failed: str = ""
    """Why there are fewer runs than asked for, where something broke."""

    @property
    def wall(self) -> float:
        """The best run."""
        return min(self.walls)

    @property
    def cpu(self) -> float:
        """The median run."""
        return statistics.median(self.cpus)


@dataclass(frozen=True)
class Scaled:
    """The engine on many hosts that answer at once."""

    hosts: int
    operations: int
    wall: float
    cpu: float
    memory: float
    """Most MiB at any moment, of all its processes; what they share counts once."""
    lines: int
    """Of the plan as people read it."""


@dataclass(frozen=True)
class Started:
    """A command that reaches no host."""

    command: str
    walls: Sequence[float]

    @property
    def wall(self) -> float:
        """The median run."""
        return statistics.median(self.walls)


@dataclass
class Results:
    """Everything of one run of the bench; a part that was not run is empty."""

    machine: str
    versions: str
    delay: str = ""
    """What made the distance to the hosts."""
    round_trip: float = 0.0
    """Seconds that a TCP connection to a host took."""
    load: Sequence[float] = ()
    """Load of this machine over the last minute, before each part."""
    plans: list[Planned] = field(default_factory=list)
    scales: list[Scaled] = field(default_factory=list)
    starts: list[Started] = field(default_factory=list)

    def plan(self, contender: str, hosts: int, operations: int) -> Planned | None:
        """The measurement of that size, where there is one."""
        size = (contender, hosts, operations)
        return next(
            (
                each
                for each in self.plans
                if each.walls and (each.contender, each.hosts, each.operations) == size
            ),
            None,
        )

    def json(self) -> str:
        """All of it."""
        return json.dumps({"format": 1, **asdict(self)}, indent=1)
