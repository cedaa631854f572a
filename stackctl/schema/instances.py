"""MIG instances by name: what cannot be meant, found before a host is touched."""

from collections.abc import Iterator, Sequence

from stackctl.schema.gpu_host import GpuHost
from stackctl.schema.problem import Problem
from stackctl.schema.source import Key


def problems(host: GpuHost) -> Iterator[Problem]:
    """All that the instances which a host's cards have written show."""
    owners: dict[str, str] = dict.fromkeys(host.host.gpus, "a GPU")
    uuids: dict[str, str] = {}
    for card, gpu in host.host.gpus.items():
        made = host.host.mig(card)
        key = host.key("gpus", card, "instances")
        if len(gpu.instances) > len(made):
            cut = f"is cut into {len(made)}" if made else "is not cut"
            what = f"names {len(gpu.instances)}, and GPU `{card}` {cut}"
            hint = f"write the profiles in `gpus.{card}.tuning.mig`, or take the names out"
            yield Problem.at(*key, what=what, hint=hint)
        for name, uuid in gpu.instances.items():
            if owners.setdefault(name, f"an instance of `{card}`") != f"an instance of `{card}`":
                what = f"`{name}` is already the name of {owners[name]}"
                yield Problem((*key, name), what, "give each device of a host a name of its own")
            if uuids.setdefault(uuid, name) != name:
                what = f"{uuid} is already instance `{uuids[uuid]}`"
                yield Problem((*key, name), what, f"compare with `nvidia-smi -L` on {host.name}")


def placed(host: GpuHost, devices: Sequence[str], device: str, key: Key) -> Iterator[Problem]:
    """What a placement makes of `device`, one of its `devices`."""
    if device in host.host.gpus:
        known = host.families.get(device)
        if host.host.mig(device) and (known is None or known.mig):
            what = f"GPU `{device}` of {host.name} is cut into instances, which containers get one by one"
            names = ", ".join(f"`{name}`" for name in host.host.gpus[device].instances)
            unwritten = f"write `gpus.{device}.instances`; `stackctl doctor` tells their UUIDs"
            yield Problem(key, what, f"name one of {names}" if names else unwritten)
    elif len(devices) > 1:
        what = f"`{device}` is an instance of a GPU, and a program sees no other device beside one"
        yield Problem(key, what, "name it alone, or GPUs that are not cut")
