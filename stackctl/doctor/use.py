"""The last rungs: a container gets its card and no other, a program runs on it, and the kernel has no complaint."""

import re

from stackctl.core.finding import Finding
from stackctl.doctor.rung import Case, Rung, judged, skipped

_XID = re.compile(r"NVRM: Xid \(PCI:(?P<pci>[0-9a-f:.]+)\): (?P<number>[0-9]+)", re.IGNORECASE)
_MEANINGS = {
    13: "a program made a graphics or compute error",
    31: "a program touched memory that is not its own",
    43: "a program's channel was stopped",
    48: "an uncorrectable memory error",
    62: "the card's own processor halted",
    63: "a memory row is to be remapped",
    64: "a memory row could not be remapped",
    74: "an NVLink error",
    79: "the card has fallen off the bus",
    94: "an uncorrectable memory error, contained",
    95: "an uncorrectable memory error, not contained",
    109: "a context switch took too long",
    119: "the card's own processor does not answer",
    120: "the card's own processor failed",
    154: "the card needs a reset",
}
"""NVIDIA's Xid catalogue (docs.nvidia.com/deploy/xid-errors)."""
_PROGRAMS = {13, 31, 43}
"""What a faulty program does to itself; nothing is wrong with the card."""
_RESET = {48, 62, 64, 95, 109, 119, 120, 154}


def container(case: Case) -> Rung:
    """A container that is given one card sees that one alone."""
    name = "containers"
    if not case.trials:
        return skipped(name, _untried(case))
    findings: list[Finding] = []
    for uuid, trial in sorted(case.trials.items()):
        if trial.failed is not None:
            program = f"--entrypoint nvidia-smi {case.image} -L"
            hint = f"try `docker run --rm --device nvidia.com/gpu={uuid} {program}` on the host"
            findings.append(case.finding(name, f"no container starts with {uuid}: {trial.failed}", hint))
        elif trial.sees != (uuid,):
            sees = ", ".join(trial.sees) or "nothing"
            hint = "look for `NVIDIA_VISIBLE_DEVICES` in the image and for a default runtime in daemon.json"
            findings.append(case.finding(name, f"a container with {uuid} sees {sees}", hint))
    return judged(name, f"{len(case.trials)} of {len(case.trials)} see their own GPU alone", findings)


def _untried(case: Case) -> str:
    if not case.cards:
        return "no GPU is for containers"
    if case.seen.smi.status != 0:
        return "nvidia-smi does not answer"
    if not case.given:
        return "no GPU for containers has its `uuid` declared, or the instances that are"
    return "the host has no image of a model to start a container from"


def workload(case: Case) -> Rung:
    """Numbers are added on each card."""
    name = "CUDA"
    tried = {uuid: trial for uuid, trial in case.trials.items() if trial.failed is None}
    if not tried:
        return skipped(name, "no container has a GPU" if case.trials else _untried(case))
    wrong = [(uuid, trial.told) for uuid, trial in sorted(tried.items()) if trial.worked is False]
    hint = "read the kernel's log for Xid errors; error 802 is the NVSwitches' manager's, 803 a mixture of versions"
    findings = [case.finding(name, f"a program on {uuid} fails: {told}", hint) for uuid, told in wrong]
    unknown = [trial.told for trial in tried.values() if trial.worked is None]
    if not findings and unknown:
        return skipped(name, unknown[0])
    return judged(name, "the sums are right", findings)


def errors(case: Case) -> Rung:
    """What the kernel has noted of the cards since it booted."""
    name = "kernel's log"
    counted: dict[tuple[str, int], int] = {}
    for line in case.seen.xids:
        match = _XID.search(line)
        if match:
            key = (match["pci"], int(match["number"]))
            counted[key] = counted.get(key, 0) + 1
    findings = [
        case.finding(
            name,
            f"Xid {number} on {pci}, {_times(times)}: {_MEANINGS.get(number, 'see NVIDIA')}",
            _way_out(number),
        )
        for (pci, number), times in sorted(counted.items())
        if number not in _PROGRAMS
    ]
    harmless = sum(times for (_, number), times in counted.items() if number in _PROGRAMS)
    told = (
        f"no fault of a card, {_times(harmless)} one of a program" if harmless else "no errors since the boot"
    )
    return judged(name, told, findings)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _way_out(number: int) -> str:
    if number == 79:
        return (
            "look at the card's power and seat, and start the host cold; a card that does it again is broken"
        )
    if number in _RESET:
        return "stop what uses the card and run `nvidia-smi --gpu-reset -i UUID` on the host, or reboot it"
    return "reboot the host when it suits; a card that does it again is to be replaced"
