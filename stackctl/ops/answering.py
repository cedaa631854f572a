"""A container that is waited for until it answers."""

import shlex
from collections.abc import Generator, Iterable, Sequence
from typing import Any

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.ops import replica
from stackctl.ops.step import Step, changes


class Answers(FactBase[bool]):
    """Whether a URL answers 2xx to the host itself."""

    def command(self, url: str) -> str:
        """Curl's own exit codes do not matter here; no curl counts as no answer."""
        return f"curl -fsS -m 5 -o /dev/null -- {shlex.quote(url)} 2>/dev/null && echo yes || echo no"

    @staticmethod
    def default() -> bool:
        """Not asked."""
        return False

    def process(self, output: Iterable[str]) -> bool:
        """`yes` or `no`."""
        return list(output) == ["yes"]


@operation()
def answering(
    project: str, service: str, url: str, seconds: int, arithmetic: str = "", after: Sequence[Any] = ()
) -> Generator[Step, None, None]:
    """Wait until a service of the project answers 2xx at `url`; show its last log lines when it does not."""
    touched = any([changes(operation) for operation in after])
    if touched or not host.get_fact(Answers, url=url):
        yield Step(
            replica.script(project, service, _WAIT, url=url, start=seconds, arithmetic=arithmetic),
            reason=f"wait until {service} answers at {url}",
            action="run",
            seconds=seconds + _SLACK,
            hint="the lines above are the container's errors and its last; mend its arguments or image and apply again",
        )


_SLACK = 60
_WAIT = 'comes_up || tell "$why" "$detail"'
