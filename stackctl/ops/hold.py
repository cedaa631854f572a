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
    """Have these packages held, or those of them that are installed let go.

    A package that an earlier operation is yet to bring is held once it is there: apt refuses to install what is held.
    """
    wanted = sorted(set(names))
    found = host.get_fact(Packages, names=wanted) if wanted else {}
    installed = {name: found[name] for name in wanted if name in found and found[name].version}
    for name in wanted:
        state = installed.get(name)
        saw(f"hold {name}", **({"held": "yes" if state.held else "no"} if state else {}))
    wrong = sorted(name for name, state in installed.items() if state.held != hold)
    missing = [name for name in wanted if name not in installed] if hold else []
    if wrong or missing:
        yield Step(
            mark_script("hold" if hold else "unhold", wrong, LOCK_SECONDS) if wrong else ":",
            reason=f"{'hold' if hold else 'let go of'} {some(sorted([*wrong, *missing]))}",
            seconds=LOCK_SECONDS + 120,
            known=not missing,
        )
