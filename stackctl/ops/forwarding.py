"""What a host passes on for others of the mesh, past Docker, which drops what others forward.

Docker sets the policy of FORWARD to DROP where it is the one that turns forwarding on. After a boot it is not, since the
kernel's settings come first; where Docker ran before, the chain that it leaves to others, and keeps over its restarts,
lets through exactly what the mesh is for. Without that chain nothing is done: one that Docker finds it does not look at.
"""

import shlex
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.ops.step import Step
from stackctl.ops.trace import saw
from stackctl.ops.wording import some

CHAIN = "DOCKER-USER"
MARK = "-m comment --comment stackctl-mesh -j ACCEPT"
"""What our rules end in, and are known by."""


@dataclass(frozen=True)
class Passing:
    """What becomes of packets that a host is to pass on."""

    drops: bool = False
    """Whether they are dropped where no rule says otherwise."""
    chain: bool = False
    """Whether Docker has a chain for rules of others."""
    ours: tuple[str, ...] = ()
    """Rules of ours in it."""
    lasting: bool = False
    """Whether forwarding is turned on by a file of ours at every boot."""

    def passes(self, rules: Iterable[str]) -> bool:
        """Whether what these rules are for gets through."""
        return not self.drops or set(rules) <= set(self.ours)


class Passed(FactBase[Passing]):
    """What Docker makes of forwarded packets; hosts without it are not asked for rules, which may load modules."""

    def command(self, kept: str) -> str:
        """Rules as iptables tells them, whichever of its two kinds Docker uses."""
        return (
            f"PATH=$PATH:/usr/sbin:/sbin\n[ ! -e {shlex.quote(kept)} ] || echo lasting\n"
            "command -v dockerd >/dev/null && command -v iptables >/dev/null || exit 0\n"
            f"iptables -w 5 -S FORWARD 2>/dev/null | head -n 1\niptables -w 5 -S {CHAIN} 2>/dev/null || true"
        )

    @staticmethod
    def default() -> Passing:
        """Nothing is dropped."""
        return Passing()

    def process(self, output: Iterable[str]) -> Passing:
        """Lines such as `-P FORWARD DROP` and `-A DOCKER-USER -i wg0 -o wg0 -j ACCEPT`."""
        rows = [line.strip() for line in output]
        rules = [row.removeprefix(f"-A {CHAIN} ") for row in rows if row.startswith(f"-A {CHAIN} ")]
        return Passing(
            "-P FORWARD DROP" in rows,
            f"-N {CHAIN}" in rows,
            tuple(rule for rule in rules if rule.endswith(MARK)),
            "lasting" in rows,
        )


@operation()
def passed_on(device: str, networks: Sequence[str], kept: str, *, hub: bool) -> Generator[Step, None, None]:
    """Have what the mesh has for these networks, and with `hub` for its own hosts, pass; nothing more, and none left.

    `kept` is the file that turns forwarding on at every boot; it goes where nothing is to pass any more.
    """
    found = host.get_fact(Passed, kept=kept)
    wanted = _rules(device, networks, hub=hub)
    if wanted:
        saw("packets passed on for the mesh", state="passed" if found.passes(wanted) else "dropped")
    missing = [rule for rule in wanted if found.drops and rule not in found.ours]
    stale = [rule for rule in found.ours if rule not in wanted]
    if missing:
        whom = some([*(["its own hosts"] if hub else []), *networks])
        yield Step(
            ("" if found.chain else _MADE) + _iptables("-I", missing),
            reason=f"let what the mesh has for {whom} pass Docker, which drops what others forward",
        )
    if stale:
        yield Step(_iptables("-D", stale), reason="take back what let the mesh pass Docker", action="remove")
    if found.lasting and not wanted:
        reason = "turn forwarding on no more at boot, nothing is passed on"
        yield Step(f"rm -f -- {shlex.quote(kept)}", reason=reason, action="remove")


def _rules(device: str, networks: Sequence[str], *, hub: bool) -> list[str]:
    """As iptables tells them, those of a network in both directions."""
    own = [f"-i {device} -o {device} {MARK}"] if hub else []
    ways = [(f"-d {network} -i {device} {MARK}", f"-s {network} -o {device} {MARK}") for network in networks]
    return own + [rule for pair in ways for rule in pair]


# Docker makes its chain with the first of its networks, and not again once somebody has flushed all rules.
_MADE = f"""PATH=$PATH:/usr/sbin:/sbin
iptables -w 5 -N {CHAIN} && iptables -w 5 -A {CHAIN} -j RETURN && iptables -w 5 -I FORWARD -j {CHAIN} || exit 1
"""


def _iptables(action: str, rules: Sequence[str]) -> str:
    """One command for each rule; what a failed one leaves undone the next plan sees."""
    lines = [f"iptables -w 5 {action} {CHAIN} {shlex.join(rule.split())}" for rule in rules]
    return "PATH=$PATH:/usr/sbin:/sbin\n" + " &&\n".join(lines)
