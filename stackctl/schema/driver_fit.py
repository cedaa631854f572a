"""Whether a host's driver can be had from where it is to come, and runs the host's GPUs."""

from collections.abc import Iterator
from itertools import chain

from stackctl.nvidia import branches, cuda
from stackctl.nvidia.version import below, parsed, shown
from stackctl.schema.gpu_host import GpuHost, card
from stackctl.schema.problem import Problem


def problems(host: GpuHost) -> Iterator[Problem]:
    """All that the driver's own settings and the GPUs of the host show."""
    yield from _mig(host)
    if host.driver.source == "none":
        yield from _without(host)
        return
    yield from _distribution(host)
    unfit = list(_branch(host))
    yield from unfit or chain(_end(host), _bad(host))
    yield from _modules(host, settled=bool(unfit))
    yield from _toolkits(host)


def _without(host: GpuHost) -> Iterator[Problem]:
    users = [name for name, gpu in host.host.gpus.items() if gpu.use == "containers"]
    if users:
        what = f"is `none`, but GPU `{users[0]}` is for containers"
        hint = "write `source: nvidia` and `branch: 580`, or `use: passthrough` with the GPU"
        yield Problem.at(*host.key("driver", "source"), what=what, hint=hint)


def _distribution(host: GpuHost) -> Iterator[Problem]:
    driver, system = host.driver, host.host.os
    if driver.source != "distribution":
        return
    own = branches.distribution(system)
    if own is None:
        if host.version is None:
            what = f"is missing: {system} has drivers of several branches"
            yield Problem.at(*host.key("driver", "branch"), what=what, hint=host.advice())
        return
    if host.version is not None and host.version[0] != own.branch:
        what = f"is {host.pinned}, but {system} itself has branch {own.branch} only"
        hint = f"write `source: nvidia`, or take `{host.pin[-1]}` out"
        yield Problem.at(*host.pin, what=what, hint=hint)
    if driver.modules != "auto" and driver.modules not in own.modules:
        what = f"cannot be `{driver.modules}` with {system}'s own driver: {own.why}"
        instead = "" if host.flavour == "open" else f", or `modules: {own.modules[0]}`"
        yield Problem.at(
            *host.key("driver", "modules"),
            what=what,
            hint=f"write `source: nvidia` and `branch: 580`{instead}",
        )


def _branch(host: GpuHost) -> Iterator[Problem]:
    if host.version is None:
        return
    branch = host.version[0]
    named = host.pinned if host.pin[-1] != "source" else f"`{host.pinned}`, which is branch {branch}"
    for gpu, known in host.families.items():
        if known.last is not None and branch > known.last:
            what = f"is {named}, but {card(gpu, known)} runs with {known.last} at the newest"
        elif known.first is not None and branch < known.first:
            what = f"is {named}, but {card(gpu, known)} needs {known.first} or newer"
        else:
            continue
        yield Problem.at(*host.pin, what=what, hint=host.advice())


def _end(host: GpuHost) -> Iterator[Problem]:
    """Of a branch that a distribution has chosen, the distribution looks after it."""
    if host.version is None or host.driver.source == "distribution":
        return
    if branches.ended(host.version[0]):
        what = f"{host.pinned} is of a branch that ended in {branches.ends(host.version[0])}"
        yield Problem(host.pin, what, host.advice(), severity="warning")


def _bad(host: GpuHost) -> Iterator[Problem]:
    cut = {bool(host.host.mig(name)) for name, gpu in host.host.gpus.items() if gpu.use == "containers"}
    for bad in branches.known_bad(host.version or ()):
        if bad.when != "mixed-mig" or len(cut) > 1:
            what = f"{host.pinned} {bad.reason}, as all versions from {shown(bad.first)} to {shown(bad.last)}"
            yield Problem(host.pin, what, host.advice(bad.advice))


def _mig(host: GpuHost) -> Iterator[Problem]:
    for gpu, known in host.families.items():
        if host.host.mig(gpu) and not known.mig:
            own = host.host.gpus[gpu].tuning.mig is not None
            key = host.key("gpus", gpu, "tuning", "mig") if own else host.key("driver", "tuning", "mig")
            hint = (
                "take it out" if own else f"write it with the GPUs that have MIG, or `mig: []` with `{gpu}`"
            )
            yield Problem(key, f"{card(gpu, known)} has no MIG", hint)


def _modules(host: GpuHost, *, settled: bool) -> Iterator[Problem]:
    """Flavours; with a branch that is wrong already, only what no branch mends."""
    opened = next((item for item in host.families.items() if item[1].modules == ("open",)), None)
    closed = next((item for item in host.families.items() if item[1].modules == ("proprietary",)), None)
    if opened is not None and closed is not None:
        what = (
            f"{card(*opened)} needs the open modules and {card(*closed)} the proprietary ones; a host has one"
        )
        hint = "move one of them to another host, or to a virtual machine with `use: passthrough`"
        yield Problem(host.key("gpus", closed[0]), what, hint)
        return
    wanted, needed = host.driver.modules, opened or closed
    key = host.key("driver", "modules")
    if wanted != "auto" and needed is not None and wanted not in needed[1].modules:
        flavour = needed[1].modules[0]
        what = f"is `{wanted}`, but {card(*needed)} runs with the {flavour} ones only"
        yield Problem.at(*key, what=what, hint=f"write `modules: {flavour}`, or take the line out")
    elif wanted != "auto" and host.version is not None and not settled:
        shipped = branches.modules(host.version[0])
        if wanted not in shipped:
            what = f"is `{wanted}`, which branch {host.version[0]} does not have"
            yield Problem.at(*key, what=what, hint=f"write `modules: {shipped[0]}`, or take the line out")


def _toolkits(host: GpuHost) -> Iterator[Problem]:
    own = branches.distribution(host.host.os) if host.driver.source == "distribution" else None
    for index, text in enumerate(host.driver.cuda):
        if own is not None and text != own.cuda:
            what = f"{host.host.os} itself has CUDA {own.cuda}, not {text}"
            hint = f'write `"{own.cuda}"`, or `source: nvidia` and `branch: 580`'
            yield Problem(host.key("driver", "cuda", index), what, hint)
        floor = cuda.floor(parsed(text))
        if floor is not None and host.version is not None and below(host.version, floor):
            what = (
                f"CUDA {text} needs driver {shown(floor)} or newer, and this host has {shown(host.version)}"
            )
            yield Problem(host.key("driver", "cuda", index), what, host.advice(floor[0]))
