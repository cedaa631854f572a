"""GPUs, their driver and the images placed on them: what cannot work together, found before a host is touched."""

from collections.abc import Iterator

from stackctl.nvidia.families import family
from stackctl.schema import driver_fit, image_fit, instances
from stackctl.schema.fleet import Fleet
from stackctl.schema.gpu import Gpu
from stackctl.schema.gpu_host import GpuHost, gpu_host
from stackctl.schema.problem import Problem
from stackctl.schema.source import Key


def problems(fleet: Fleet) -> Iterator[Problem]:
    """All of them; what is not known is not complained of, apart from a GPU without `id`."""
    hosts = {name: gpu_host(name, host) for name, host in fleet.hosts.items()}
    for item in hosts.values():
        yield from _cards(item)
        yield from instances.problems(item)
        yield from driver_fit.problems(item)
    for model, placements in fleet.placements.items():
        for index, placement in enumerate(placements):
            for number, device in enumerate(placement.devices):
                found = hosts.get(placement.host)
                card = None if found is None else found.host.card(device)
                if found is None or card is None:
                    continue
                key: Key = ("placements", model, index, "devices", number)
                yield from _use(found, card, model, key)
                yield from instances.placed(found, placement.devices, device, key)
                if model in fleet.models and card in found.families:
                    yield from image_fit.problems(found, card, model, fleet.demand(model), key)


def _cards(gpu_host: GpuHost) -> Iterator[Problem]:
    slots: dict[str, str] = {}
    for name, card in gpu_host.host.gpus.items():
        key = gpu_host.key("gpus", name)
        if card.use == "passthrough" and card.pci is None:
            hint = f"add `pci`, as `lspci -D -d 10de:` on {gpu_host.name} prints it"
            yield Problem.at(*key, what="is for a virtual machine, but has no `pci`", hint=hint)
        owner = slots.setdefault(card.pci, name) if card.pci is not None else name
        if owner != name:
            what = f"{card.pci} is already where GPU `{owner}` sits"
            yield Problem((*key, "pci"), what, f"compare with `lspci -D -d 10de:` on {gpu_host.name}")
        if card.use == "containers":
            yield from _unknown(gpu_host, card, key)


def _unknown(gpu_host: GpuHost, card: Gpu, key: Key) -> Iterator[Problem]:
    if card.id is None:
        what = "has no `id`, so that nobody checks whether driver and images fit it"
        hint = f"add `id`, as `lspci -n -d 10de:` on {gpu_host.name} prints it"
        yield _warning(Problem.at(*key, what=what, hint=hint))
    elif family(card.id) is None:
        what = (
            f"is `{card.id}`, of no family known here, so that nobody checks whether driver and images fit it"
        )
        hint = f"compare with `lspci -n -d 10de:` on {gpu_host.name}"
        yield _warning(Problem.at(*key, "id", what=what, hint=hint))


def _use(gpu_host: GpuHost, device: str, model: str, key: Key) -> Iterator[Problem]:
    card = gpu_host.host.gpus[device]
    if card.use == "passthrough":
        what = f"`{model}` is placed on GPU `{device}` of {gpu_host.name}, which is for a virtual machine"
        hint = f"name another, or write `hosts.{gpu_host.name}.gpus.{device}.use: containers`"
        yield Problem(key, what, hint)
    elif card.uuid is None:
        what = "has no `uuid`, but models are placed on it"
        hint = f"add `uuid`; `stackctl doctor {gpu_host.name}` tells it once the driver runs"
        yield Problem.at(*gpu_host.key("gpus", device), what=what, hint=hint)


def _warning(problem: Problem) -> Problem:
    return Problem(problem.key, problem.what, problem.hint, severity="warning")
