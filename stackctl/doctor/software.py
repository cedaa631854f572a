"""The middle rungs: what the driver says of its cards, and how containers get them."""

from collections.abc import Iterator

from stackctl.core.finding import Finding
from stackctl.doctor.rung import Case, Rung, judged, skipped
from stackctl.plan.cards import differences, pending

_STATUS = {
    6: "it finds no devices",
    9: "it cannot talk to the driver",
    12: "the library libnvidia-ml is missing",
    15: "a GPU has fallen off the bus",
    18: "driver and library are of different versions",
    124: "it does not answer",
}
"""Exit statuses of nvidia-smi, from its manual page, and `timeout`'s."""
_BOOT = "reboot the host, or run `stackctl apply --allow-reboot`"
_FABRIC = "nvidia-fabricmanager.service"


def answers(case: Case) -> Rung:
    """nvidia-smi lists exactly the cards for containers, by the UUIDs that are declared."""
    name, smi = "GPUs and UUIDs", case.seen.smi
    if case.seen.loaded is None:
        return skipped(name, "no driver is loaded")
    if smi.status is None:
        what = "there is no nvidia-smi"
        return judged(name, "", [case.finding(name, what, "install it: it is one of the driver's packages")])
    if smi.status != 0:
        what = f"nvidia-smi fails with status {smi.status}: {_STATUS.get(smi.status, smi.message or 'it does not say why')}"
        hint = "read `journalctl -k -b -g NVRM` on the host; a GPU that fell off the bus needs a cold start"
        return judged(name, "", [case.finding(name, what, hint)])
    there = {gpu.uuid for gpu in smi.gpus}
    findings = [
        case.finding(name, f"GPU `{card.name}`, {card.uuid}, is not there", _instead(case))
        for card in case.cards
        if card.uuid is not None and card.uuid not in there
    ]
    if len(smi.gpus) != len(case.cards):
        what = f"{len(case.cards)} GPUs are declared for containers, and the driver has {len(smi.gpus)}"
        findings.append(case.finding(name, what, _instead(case)))
    return judged(name, ", ".join(f"{gpu.name} {gpu.uuid}" for gpu in smi.gpus), findings)


def _instead(case: Case) -> str:
    declared = {card.uuid for card in case.spec.cards}
    new = [gpu for gpu in case.seen.smi.gpus if gpu.uuid not in declared]
    ids = {device.address: device.id for device in case.seen.devices}
    lines = [f"{{uuid: {gpu.uuid}, pci: '{gpu.pci}', id: '{ids.get(gpu.pci, '10de:????')}'}}" for gpu in new]
    return (
        f"write {' and '.join(f'`{line}`' for line in lines)} under `gpus`"
        if lines
        else "look at the card's seat"
    )


def settings(case: Case) -> Rung:
    """Persistence, power, clocks, memory correction and instances as declared."""
    name = "settings"
    if case.seen.smi.status != 0:
        return skipped(name, "nvidia-smi does not answer")
    there = {gpu.uuid: gpu for gpu in case.seen.smi.gpus}
    findings: list[Finding] = []
    for card in case.cards:
        gpu = there.get(card.uuid or "")
        if gpu is None:
            continue
        findings += [
            case.finding(name, f"GPU `{card.name}`: {text}", "run `stackctl apply`")
            for text in differences(card, gpu)
        ]
        findings += [
            case.finding(name, f"GPU `{card.name}`: {text} counts from the next boot on", _BOOT)
            for text in pending(card, gpu)
        ]
        if case.spec.persistence and gpu.persistence is False:
            hint = "run `stackctl apply`, or read `journalctl -u nvidia-persistenced` on the host"
            findings.append(case.finding(name, f"GPU `{card.name}`: persistence is off", hint))
    return judged(name, "as declared", findings)


def fabric(case: Case) -> Rung:
    """Where there are NVSwitches, their manager runs at the driver's version and has made the fabric ready."""
    name, seen = "fabric", case.seen
    if not seen.switches:
        return skipped(name, "there are no NVSwitches")
    findings: list[Finding] = []
    if seen.units.get(_FABRIC) != "active":
        what = f"{_FABRIC} is {seen.units.get(_FABRIC, 'not there')}"
        findings.append(case.finding(name, what, f"run `stackctl apply`, and read `journalctl -u {_FABRIC}`"))
    for gpu in seen.smi.gpus:
        if (gpu.fabric_state, gpu.fabric_status) != ("Completed", "Success"):
            what = f"the fabric of {gpu.uuid} is {gpu.fabric_state or 'unknown'}: CUDA fails with error 802 there"
            hint = "compare the manager's version with the driver's, and restart it once no GPU is in use"
            findings.append(case.finding(name, what, hint))
    return judged(name, "Completed", findings)


def specifications(case: Case) -> Rung:
    """The container device specifications list each card, and every file they name is there."""
    name, cdi = "CDI", case.seen.cdi
    if case.seen.loaded is None:
        return skipped(name, "no driver is loaded")
    return judged(name, ", ".join(cdi.specs), list(_specifications(case, name)))


def _specifications(case: Case, name: str) -> Iterator[Finding]:
    cdi, again = case.seen.cdi, "run `stackctl apply`, which makes it anew, and removes old copies"
    if not cdi.specs:
        yield case.finding(name, "there is no specification of the GPUs", again)
        return
    for card in case.cards:
        if card.uuid is not None and not card.mig and f"nvidia.com/gpu={card.uuid}" not in cdi.devices:
            yield case.finding(name, f"GPU `{card.name}`, {card.uuid}, is in no specification", again)
    for path, version in cdi.specs.items():
        if version is not None and version != case.seen.loaded:
            yield case.finding(name, f"{path} is of driver {version}, and {case.seen.loaded} runs", again)
    for path, missing in cdi.missing.items():
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        yield case.finding(name, f"{path} names {missing[0]}{more}, which is not there", again)
    if cdi.docker is False:
        yield case.finding(
            name,
            "Docker does not use specifications",
            "run `stackctl apply`: daemon.json lacks `features.cdi`",
        )
