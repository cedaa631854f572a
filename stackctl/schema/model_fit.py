"""Whether models fit in the memory of the GPUs they are placed on, as far as locks and cards tell."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stackctl.fit.advice import instead
from stackctl.fit.need import LEAST, Need, Room, need
from stackctl.fit.shape import shape
from stackctl.fit.width import obstacles, widths
from stackctl.fit.wording import arithmetic as worded
from stackctl.fit.wording import gib, sum_of
from stackctl.nvidia.families import family
from stackctl.nvidia.memory import declared, memory
from stackctl.schema.fleet import Fleet
from stackctl.schema.host import Host
from stackctl.schema.problem import Problem
from stackctl.schema.serving import CPU, Placement
from stackctl.schema.snapshot import Snapshot
from stackctl.schema.source import Key

_FULLEST = 0.95
"""Share of a GPU's memory that models sharing it may take together; CUDA itself needs some."""
_FP8_CACHE = (8, 9)
"""Compute capability from which the cache can be of 8 bits."""


@dataclass(frozen=True)
class Fitted:
    """A placement beside the devices it names."""

    model: str
    placement: Placement
    host: Host
    snapshot: Snapshot
    room: Room
    need: Need

    @property
    def files(self) -> dict[str, int]:
        """Sizes of the repository's files."""
        return {path: file.size for path, file in self.snapshot.files.items()}

    @property
    def place(self) -> str:
        """The devices as findings name them."""
        devices = ", ".join(f"`{device}`" for device in self.placement.devices)
        return f"{devices} of {self.placement.host}"


def fitted(fleet: Fleet, model: str, placement: Placement) -> Fitted | None:
    """What a placement needs; None where the lock does not have its model, or its server does not say what it takes."""
    if model not in fleet.models or placement.host not in fleet.hosts:
        return None
    host, snapshot = fleet.hosts[placement.host], fleet.snapshot(model)
    sizing = fleet.server(model, placement).sizing
    if snapshot is None or not snapshot.config or sizing is None:
        return None
    room = _room(host, placement)
    files = {path: file.size for path, file in snapshot.files.items()}
    return Fitted(model, placement, host, snapshot, room, need(snapshot.config, files, sizing, room))


def arithmetic(fleet: Fleet, model: str, placement: Placement) -> str:
    """Some lines on what a placement needs and what is there, to stand under an error; empty where it is not known."""
    found = fitted(fleet, model, placement)
    return "" if found is None else worded(found.need)


def problems(fleet: Fleet) -> Iterator[Problem]:
    """What does not fit; of what is unknown, that it is."""
    placed = [
        (("placements", model, index), found)
        for model, placements in fleet.placements.items()
        for index, placement in enumerate(placements)
        if (found := fitted(fleet, model, placement)) is not None
    ]
    for key, found in placed:
        yield from _placed(found, key)
        yield from _unsure(found)
    yield from _shared(placed)


def _placed(found: Fitted, key: Key) -> Iterator[Problem]:
    if apart := list(_width(found, (*key, "devices"))):
        yield from apart
        return
    yield from _unknown(found)
    verdict, devices = found.need.verdict, (*key, "devices")
    if verdict == "refused":
        # An estimate is no reason to stand in the way.
        what = f"`{found.model}` does not fit on {found.place}: {_figures(found, 1, LEAST)}"
        yield Problem(devices, what, _hint(found), "error" if found.need.exact else "warning")
    elif verdict == "tight":
        what = f"`{found.model}` may not start on {found.place}: {_figures(found, 1, None)}"
        yield Problem(devices, what, _hint(found), severity="warning")
    elif verdict == "queues":
        need = found.need
        what = (
            f"`{found.model}` works on {need.held} requests of {need.context} tokens at a time on {found.place},"
            f" of {need.sizing.concurrency} wanted; the others wait"
        )
        yield Problem(devices, what, _hint(found), severity="warning")


def _width(found: Fitted, key: Key) -> Iterator[Problem]:
    config, width = found.snapshot.config, found.need.sizing.width
    read = shape(config)
    odd = () if read is None else obstacles(config, read, width)
    if read is None or not odd:
        return
    what = f"`{found.model}` cannot be spread over {width} devices: {' and '.join(odd)} cannot be divided by that"
    possible = [str(item) for item in widths(config, read, 16) if item > 1]
    hint = f"write `tensor_parallel` {' or '.join(possible)}" if possible else "place it on one device"
    yield Problem(key, what, hint)


def _figures(found: Fitted, requests: int, reserve: int | None) -> str:
    need = found.need
    one, given = need.cache(1), need.sizing.cache
    if given is not None and one is not None and one > given:
        return f"a request of {need.context} tokens takes {gib(one)} of KV cache, and `kv_cache_memory` is {gib(given)}"
    each = " on each" if need.sizing.width > 1 else ""
    least = "" if reserve is None else "at least "
    return f"it needs {least}{sum_of(need, requests, reserve)}{each}, and has {gib(need.budget or 0)}"


def _hint(found: Fitted) -> str:
    cards = [name for name, card in found.host.gpus.items() if card.use == "containers"]
    like = [
        name
        for name in cards
        if (bytes_ := _memory(found.host, name)) is not None and bytes_ >= (found.room.total or 0)
    ]
    options = instead(
        found.snapshot.config, found.files, found.need, found.room, len(like), fp8=_has_fp8(found)
    )
    if not options:
        return "use a larger GPU, or weights of fewer bits"
    return f"{', or '.join(f'`{option}`' for option in options)} would fit"


def _has_fp8(found: Fitted) -> bool:
    ids = [found.host.gpus[name].id for name in found.placement.devices if name in found.host.gpus]
    cards = [None if pci_id is None else family(pci_id) for pci_id in ids]
    return bool(cards) and all(card is not None and card.capability >= _FP8_CACHE for card in cards)


def _unknown(found: Fitted) -> Iterator[Problem]:
    for device in found.placement.devices:
        card = found.host.gpus.get(device)
        if card is None or _cut(found.host, device) or _memory(found.host, device) is not None:
            continue
        key: Key = ("hosts", found.placement.host, "gpus", device)
        what = "has a memory that is not known, so that nobody checks whether models fit"
        problem = Problem.at(*key, what=what, hint="add `memory`, such as `24G`, as `nvidia-smi` prints it")
        yield Problem(problem.key, problem.what, problem.hint, severity="warning")


def _unsure(found: Fitted) -> Iterator[Problem]:
    """Families whose cache is not reckoned to the byte; the same for all placements of a model, so told once."""
    if found.need.exact or found.need.sizing.cache is not None or found.need.budget is None:
        return
    read = shape(found.snapshot.config)
    family_ = found.snapshot.config.get("model_type", "unnamed") if read is None else read.family
    known = "is not reckoned" if read is None else "is estimated only"
    what = (
        f"the KV cache of `{found.model}`, of the family `{family_}`, {known}: whether it fits is not certain"
    )
    hint = "compare with what vLLM says of its cache when it starts, and write `kv_cache_memory` to be sure"
    yield Problem(("models", found.model), what, hint, severity="warning")


def _shared(placed: Iterable[tuple[Key, Fitted]]) -> Iterator[Problem]:
    """Models that share a GPU, one of which takes a number of bytes and not a share; shares alone are added elsewhere."""
    taken: dict[tuple[str, str], list[Fitted]] = {}
    for key, found in placed:
        for device in found.placement.devices if found.room.total is not None else ():
            beside = taken.setdefault((found.placement.host, device), [])
            beside.append(found)
            yield from _together(beside, device, (*key, "devices"))


def _together(beside: list[Fitted], device: str, key: Key) -> Iterator[Problem]:
    room = beside[0].room.total or 0
    if len(beside) == 1 or all(item.need.sizing.cache is None for item in beside):
        return
    takes = [
        item.need.total(1, LEAST) if item.need.sizing.cache is not None else item.need.budget or 0
        for item in beside
    ]
    if sum(takes) > _FULLEST * room:
        what = (
            f"models on {beside[0].placement.host}'s GPU `{device}` take {gib(sum(takes))} of its {gib(room)} together:"
            f" {', '.join(f'`{item.model}` {gib(size)}' for item, size in zip(beside, takes, strict=True))}"
        )
        hint = f"lower `kv_cache_memory` or `gpu_memory_utilization` so that they stay under {gib(int(_FULLEST * room))}"
        yield Problem(key, what, hint)


def _room(host: Host, placement: Placement) -> Room:
    """The smallest of its devices."""
    if CPU in placement.devices:
        return Room(cpu=True)
    sizes = [_memory(host, device) for device in placement.devices]
    known = [size for size in sizes if size is not None]
    ids = {host.gpus[device].id for device in placement.devices if device in host.gpus}
    return Room(min(known) if len(known) == len(sizes) else None, small_batches=bool(ids & _A100))


def _memory(host: Host, device: str) -> int | None:
    """Of one GPU as a whole, as CUDA has it; None: unknown, or it is cut into instances."""
    card = host.gpus.get(device)
    if card is None or _cut(host, device):
        return None
    if card.memory is not None:
        return declared(card.memory)
    ecc = card.tuning.ecc if card.tuning.ecc is not None else host.driver.tuning.ecc
    return None if card.id is None else memory(card.id, ecc=ecc)


def _cut(host: Host, device: str) -> bool:
    own = host.gpus[device].tuning.mig
    return bool(own if own is not None else host.driver.tuning.mig)


_A100 = frozenset({"10de:20b2", "10de:20b5", "10de:20f3", "10de:20f5"})
"""Those as large as cards of which vLLM asks more at a time."""
