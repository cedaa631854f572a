"""Whether an image runs with the driver and on the GPU that a placement gives it."""

from collections.abc import Iterator
from functools import partial

from stackctl.nvidia import architecture, cuda, requirement
from stackctl.nvidia.families import Family
from stackctl.nvidia.version import Version, below, parsed, shown
from stackctl.schema.gpu_host import GpuHost, card
from stackctl.schema.image import Demand
from stackctl.schema.problem import Problem
from stackctl.schema.source import Key


def problems(host: GpuHost, gpu: str, model: str, demand: Demand, key: Key) -> Iterator[Problem]:
    """What does not fit; `key` is the device in the placement."""
    known = host.families[gpu]
    if demand.cuda is not None:
        if not _brings_its_own(host, known, demand):
            yield from _floor(host, model, parsed(demand.cuda))
        yield from _compiled(model, gpu, known, demand, key)
    if demand.requires is not None:
        yield from _required(host, gpu, model, demand.requires, key)
    if demand.architectures:
        yield from _architectures(host, gpu, model, demand, key)


def _brings_its_own(host: GpuHost, known: Family, demand: Demand) -> bool:
    """Whether the image has the newer libraries (cuda-compat) with which data-centre cards do on an older driver."""
    if known.market != "data centre" or demand.requires is None or host.version is None:
        return False
    return requirement.met(demand.requires, requirement.Offer(host.version, known)) is not False


def _floor(host: GpuHost, model: str, wanted: Version) -> Iterator[Problem]:
    """Within a major version every driver does that runs its first; what needs more is asked of the image."""
    floor = cuda.floor(wanted)
    if floor is not None and host.version is not None and below(host.version, floor):
        what = (
            f"the image of `{model}` has CUDA {_number(wanted)}, which needs driver {shown(floor)} or newer"
        )
        yield _driver(host, what, host.advice(floor[0]))


def _compiled(model: str, gpu: str, known: Family, demand: Demand, key: Key) -> Iterator[Problem]:
    wanted = parsed(demand.cuda or "")
    what = f"the image of `{model}` has CUDA {demand.cuda}, which does not compile for {card(gpu, known)}"
    if known.last_cuda is not None and wanted > known.last_cuda:
        hint = f"use an image with CUDA {_number(known.last_cuda)} or older, or another GPU"
        yield Problem(key, what, hint)
    elif wanted < known.first_cuda and not demand.architectures:
        hint = f"use an image with CUDA {_number(known.first_cuda)} or newer, or say in `architectures` what it holds"
        yield Problem(key, what, hint, severity="warning")


def _required(host: GpuHost, gpu: str, model: str, requires: str, key: Key) -> Iterator[Problem]:
    known = host.families[gpu]
    if requirement.met(requires, requirement.Offer(host.version, known)) is not False:
        return
    what = f"the image of `{model}` does not start on {card(gpu, known)}: it demands `{requires}`"
    if host.version is None or requirement.met(requires, requirement.Offer(None, known)) is False:
        yield Problem(key, what, "use another image or another GPU")
        return
    fits = partial(_offered, requires, known)
    yield _driver(host, what, host.advice(fits=fits))


def _offered(requires: str, known: Family, branch: int) -> bool:
    return requirement.met(requires, requirement.Offer((branch,), known)) is True


def _architectures(host: GpuHost, gpu: str, model: str, demand: Demand, key: Key) -> Iterator[Problem]:
    known = host.families[gpu]
    way = architecture.way(demand.architectures, known.capability)
    compiled = ", ".join(demand.architectures)
    if way == "none":
        what = f"the image of `{model}` is compiled for {compiled}, which {card(gpu, known)} does not run"
        number = "".join(str(part) for part in known.capability)
        yield Problem(key, what, f"use an image compiled for `sm_{number}`, or another GPU")
    elif way == "ptx" and demand.cuda is not None and host.version is not None:
        needed = _for_ptx(parsed(demand.cuda))
        if needed is not None and below(host.version, needed):
            what = f"the image of `{model}` has PTX of CUDA {demand.cuda} for {card(gpu, known)}"
            yield _driver(
                host, f"{what}, which needs driver {shown(needed)} or newer", host.advice(needed[0])
            )


def _for_ptx(wanted: Version) -> Version | None:
    branch = cuda.branch_for(wanted)
    return cuda.native(wanted) or (None if branch is None else (branch,))


def _driver(host: GpuHost, what: str, hint: str) -> Problem:
    return Problem(host.pin, f"{what}, and the driver is {shown(host.version or ())}", hint)


def _number(version: Version) -> str:
    return ".".join(str(part) for part in version)
