"""A host at a glance: what the last apply left, which uplink it is on, whom of the mesh it hears."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stackctl.core.finding import Finding
from stackctl.core.job import Job
from stackctl.doctor import peers, uplinks
from stackctl.doctor.peers import Peer
from stackctl.doctor.uplinks import Uplinks
from stackctl.plan.receipt import Receipt, read_receipt

Answered = tuple[int, str, str]
"""Exit status, standard output and standard error of a script."""

_RECEIPT = 'cat -- "$STACKCTL_STATE/receipt.json" 2>/dev/null || true\n'


@dataclass(frozen=True)
class HostStatus:
    """One host as it is now; a host that was not reached has findings alone."""

    host: str
    reached: bool = True
    applied: Receipt | None = None
    """What the last apply left; None: none has come to its end."""
    wan: Uplinks | None = None
    """None where nobody looks after uplinks, or the agent does not answer."""
    peers: tuple[Peer, ...] = ()
    """Of the mesh, where that is WireGuard."""
    findings: tuple[Finding, ...] = ()
    """What somebody should look at."""

    @property
    def well(self) -> bool:
        """Whether nobody needs to."""
        return not self.findings


def scripts(job: Job) -> tuple[str, ...]:
    """What a host is asked, in one go."""
    agent = uplinks.order("status") if uplinks.wanted(job) is not None else "true\n"
    return (_RECEIPT, agent, peers.SCRIPT)


def read(job: Job, environment: str, answers: Sequence[Answered], hosts: Mapping[str, str]) -> HostStatus:
    """What the answers to `scripts` mean; `hosts` are names by address in the mesh."""
    (_, receipt, _), (status, told, said), (_, shaken, _) = answers
    seen = uplinks.read(told) if uplinks.wanted(job) is not None else None
    findings: list[Finding] = []
    if seen is not None:
        findings += uplinks.troubles(job.host, seen)
    elif uplinks.wanted(job) is not None:
        findings.append(uplinks.unanswered(job.host, environment, status, said))
    heard = peers.read(shaken, hosts)
    findings += peers.troubles(job.host, heard)
    return HostStatus(job.host, True, read_receipt(receipt), seen, heard, tuple(findings))


def unreached(host: str, findings: Sequence[Finding]) -> HostStatus:
    """A host that gave no answer; of all findings those are its own whose place begins with its name."""
    own = tuple(item for item in findings if item.where.partition(" ")[0] == host)
    return HostStatus(host, reached=False, findings=own or (Finding(host, "gave no answer", None),))
