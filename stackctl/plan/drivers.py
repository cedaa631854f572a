"""What a change of a host's driver means for what runs on its GPUs."""

from collections.abc import Iterator

from stackctl.capabilities.gpu import GpuSpec
from stackctl.capabilities.serving import ServingSpec
from stackctl.plan.difference import Difference, settings

_NOTE = "containers on its GPUs stop while the modules are replaced; the host reboots where something else holds them"
_TOLD = {"source", "pin", "modules", "names", "sources", "ubuntu"}
"""Fields that make the driver what it is; `driver` tells them together."""


def drivers(before: GpuSpec | None, after: GpuSpec) -> Iterator[Difference]:
    """The driver in one line, then the cards and the rest."""
    if before is None:
        yield Difference("add", "driver", items=(told(after),))
    elif told(before) != told(after):
        note = _NOTE if replaced(before, after) else ""
        yield Difference("change", "driver", items=(f"{told(before)} → {told(after)}",), note=note)
    yield from settings(before, after, _TOLD)


def replaced(before: GpuSpec | None, after: GpuSpec | None) -> bool:
    """Whether an apply may swap the kernel's modules."""
    if before is None or after is None or after.names is None:
        return False
    return told(before) != told(after)


def on_gpus(spec: ServingSpec) -> frozenset[str]:
    """Containers that have a GPU."""
    return frozenset(name for name, service in spec.project.services.items() if service.deploy is not None)


def told(spec: GpuSpec) -> str:
    """`580 from nvidia, open modules`."""
    flavour = f", {spec.modules} modules" if spec.modules else ""
    if spec.source in ("none", "existing"):
        return {"none": "none", "existing": "somebody else's"}[spec.source]
    return f"{spec.pin or 'any'} from {spec.source}{flavour}"
