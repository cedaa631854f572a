"""The middle rungs: what the driver says of its cards, and how containers get them."""

from collections.abc import Iterator

from stackctl.capabilities.gpu import Card
from stackctl.core.finding import Finding
from stackctl.doctor.rung import Case, Rung, judged, skipped
from stackctl.nvidia.observation import SmiGpu
from stackctl.nvidia.version import upstream
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
_GONE = "look at the card's seat and power, and start the host cold"
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
    findings += _gone_instances(case)
    if len(smi.gpus) != len(case.cards):
        what = f"{len(case.cards)} GPUs are declared for containers, and the driver has {len(smi.gpus)}"
        findings.append(case.finding(name, what, _instead(case)))
    told = ", ".join(f"{gpu.name} {gpu.uuid}" for gpu in smi.gpus)
    return judged(name, told, findings or list(_unwritten(case)))


def _gone_instances(case: Case) -> Iterator[Finding]:
    there = {uuid for gpu in case.seen.smi.gpus for uuid in gpu.mig_uuids}
    for card in case.cards:
        for instance, uuid in card.instances or ():
            if uuid not in there:
                what = f"instance `{instance}` of GPU `{card.name}`, {uuid}, is not there"
                found = _unnamed(case, card)
                hint = (
                    f"it has {' and '.join(found)} instead"
                    if found
                    else "run `stackctl apply`, which cuts the card"
                )
                yield case.finding("GPUs and UUIDs", what, hint)


def _unnamed(case: Case, card: Card) -> tuple[str, ...]:
    """Instances of a card that the inventory has no name for."""
    named = {uuid for _, uuid in card.instances or ()}
    found = (uuid for gpu in case.seen.smi.gpus if gpu.uuid == card.uuid for uuid in gpu.mig_uuids)
    return tuple(uuid for uuid in found if uuid not in named)


def _instead(case: Case) -> str:
    declared = {card.uuid for card in case.spec.cards}
    lines = [_line(case, gpu) for gpu in case.seen.smi.gpus if gpu.uuid not in declared]
    return f"write {' and '.join(f'`{line}`' for line in lines)} under `gpus`" if lines else _GONE


def _unwritten(case: Case) -> Iterator[Finding]:
    """Cards of which the inventory does not say all by which they are known again."""
    for card, gpus in _recognised(case):
        missing = [key for key in ("uuid", "pci", "id") if getattr(card, key) is None]
        if missing:
            what = f"GPU `{card.name}` has no {' and no '.join(f'`{key}`' for key in missing)} written"
            lines = " or ".join(f"`{card.name}: {_line(case, gpu)}`" for gpu in gpus)
            yield case.warning(
                "GPUs and UUIDs", what, f"write {lines} under `gpus`, and keep what else it has"
            )
    for card in case.cards:
        unnamed = _unnamed(case, card) if card.mig else ()
        if unnamed:
            names = ", ".join(f"NAME: {uuid}" for uuid in unnamed)
            what = f"GPU `{card.name}` has instances without a name, on which no model can be placed"
            yield case.warning("GPUs and UUIDs", what, f"write `instances: {{{names}}}` with it")


def _recognised(case: Case) -> Iterator[tuple[Card, tuple[SmiGpu, ...]]]:
    """Each card with the one it is, by UUID or slot, or those that are left for it to be."""
    cards, gpus = list(case.cards), list(case.seen.smi.gpus)
    for key in ("uuid", "pci"):
        there = {getattr(gpu, key): gpu for gpu in gpus}
        for card in tuple(cards):
            gpu = there.get(getattr(card, key))
            if gpu is not None:
                cards.remove(card)
                gpus.remove(gpu)
                yield card, (gpu,)
    yield from ((card, tuple(gpus)) for card in cards)


def _line(case: Case, gpu: SmiGpu) -> str:
    """As the inventory has a card."""
    device = next((device.id for device in case.seen.devices if device.address == gpu.pci), None)
    known = {"uuid": gpu.uuid, "pci": f"'{gpu.pci}'", **({"id": f"'{device}'"} if device else {})}
    return f"{{{', '.join(f'{key}: {value}' for key, value in known.items())}}}"


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
    findings = [] if case.spec.fabric == "no" else list(_manager(case, name))
    for gpu in seen.smi.gpus:
        if (gpu.fabric_state, gpu.fabric_status) != ("Completed", "Success"):
            what = f"the fabric of {gpu.uuid} is {gpu.fabric_state or 'unknown'}: CUDA fails with error 802 there"
            hint = "compare the manager's version with the driver's, and restart it once no GPU is in use"
            findings.append(case.finding(name, what, hint))
    return judged(name, "Completed", findings)


def _manager(case: Case, name: str) -> Iterator[Finding]:
    seen, packages = case.seen, case.spec.names.fabric if case.spec.names is not None else ()
    if seen.units.get(_FABRIC) != "active":
        what = f"{_FABRIC} is {seen.units.get(_FABRIC, 'not there')}"
        yield case.finding(name, what, f"run `stackctl apply`, and read `journalctl -u {_FABRIC}`")
    for package in packages:
        version = upstream(seen.packages.get(package, ""))
        if version and seen.loaded is not None and version != seen.loaded:
            what = f"{package} is {version}, and driver {seen.loaded} runs: they have to be the same"
            yield case.finding(
                name, what, "run `stackctl apply`, which brings the manager to the driver's version"
            )


def specifications(case: Case) -> Rung:
    """The container device specifications list each card, and every file they name is there."""
    name, cdi = "CDI", case.seen.cdi
    if case.seen.loaded is None:
        return skipped(name, "no driver is loaded")
    if not case.cards:
        return skipped(name, "no GPU is for containers")
    if not cdi.specs and cdi.docker is None:
        return skipped(name, "there is no container engine, or it does not answer")
    return judged(name, ", ".join(cdi.specs), list(_specifications(case, name)))


def _specifications(case: Case, name: str) -> Iterator[Finding]:
    cdi, again = case.seen.cdi, "run `stackctl apply`, which makes it anew, and removes old copies"
    if not cdi.specs:
        yield case.finding(name, "there is no specification of the GPUs", again)
        return
    for card, uuid in case.given:
        if f"nvidia.com/gpu={uuid}" not in cdi.devices:
            yield case.finding(name, f"GPU `{card.name}`, {uuid}, is in no specification", again)
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
