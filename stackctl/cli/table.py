"""Progress on a terminal: a live table of what every host is at."""

import time

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stackctl.cli.progress import Progress
from stackctl.plan.event import Event
from stackctl.views.progress import line


class LiveProgress(Progress):
    """What takes time is shown running, what is done is a line that stays."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        super().__init__(hosts)
        self.console = Console(stderr=True)
        self.current: dict[str, tuple[str, float]] = {}
        self.live: Live | None = None

    def pause(self) -> None:
        """Give the terminal back, cursor and all; the next event takes it again."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def __call__(self, event: Event) -> None:
        """Note what happened."""
        self.current[event.host] = (line(event, self.width), time.monotonic())
        if event.kind in {"planned", "finished"}:
            self.current.pop(event.host, None)
        if self.live is None:
            self.live = Live(
                get_renderable=self._table, console=self.console, transient=True, refresh_per_second=4
            )
            self.live.start()
        if event.kind in {"done", "failed"}:
            self.console.print(line(event, self.width), highlight=False, markup=False)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for host in sorted(self.current):
            text, since = self.current[host]
            table.add_row(Text(text), f"{time.monotonic() - since:.0f} s")
        return table
