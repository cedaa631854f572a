"""Packages that apt is told to leave at their version."""

from collections.abc import Generator, Sequence

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.ops.apt import LOCK_SECONDS, Packages, mark_script
from stackctl.ops.step import Step
from stackctl.ops.trace import saw
from stackctl.ops.wording import some


@operation()
def held(names: Sequence[str], hold: bool = True) -> Generator[Step, None, None]:
    """Have those of these packages that are installed held, or let go.

    A package that is yet to come is not held: apt would refuse to install it.
    """
    found = host.get_fact(Packages, names=sorted(set(names))) if names else {}
    installed = {name: state for name, state in found.items() if state.version}
    for name in sorted(set(names)):
        state = installed.get(name)
        saw(f"hold {name}", **({"held": "yes" if state.held else "no"} if state else {}))
    wrong = sorted(name for name, state in installed.items() if state.held != hold)
    if wrong:
        yield Step(
            mark_script("hold" if hold else "unhold", wrong, LOCK_SECONDS),
            reason=f"{'hold' if hold else 'let go of'} {some(wrong)}",
            seconds=LOCK_SECONDS + 120,
        )
