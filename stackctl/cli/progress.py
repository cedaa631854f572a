"""Progress on standard error, a line for each thing that happens."""

import sys

from stackctl.plan.event import Event
from stackctl.views.progress import line


class Progress:
    """Listens to a run; whoever prints or asks in between pauses it first."""

    def __init__(self, hosts: tuple[str, ...], *, quiet: bool = False) -> None:
        self.width = max((len(host) for host in hosts), default=0)
        self.quiet = quiet

    def pause(self) -> None:
        """Give the terminal back, cursor and all; the next event takes it again."""

    def __call__(self, event: Event) -> None:
        """Tell what begins and what fails."""
        if not self.quiet and event.kind in {"started", "failed", "reconnecting", "rebooting", "verifying"}:
            print(line(event, self.width), file=sys.stderr, flush=True)
