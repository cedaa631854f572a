"""What only the whole fleet can show: names that nobody has, and things that two want at once."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from stackctl.schema import arguments, image_name
from stackctl.schema.fleet import Fleet
from stackctl.schema.problem import Problem
from stackctl.schema.serving import CPU, Placement
from stackctl.schema.source import Key
from stackctl.schema.wording import similar

LAB_NETWORK = IPv4Network("10.89.0.0/24")
LAB_ADDRESSES = range(11, 250)
"""Last parts of the addresses that a lab leaves to hosts."""
LAB_SYSTEMS = ("debian-13", "debian-12")
_FULLEST = 0.95
"""Share of a GPU's memory that models sharing it may take together; CUDA itself needs some."""


def check(fleet: Fleet) -> Iterator[Problem]:
    """Everything that is wrong between the settings."""
    yield from _addresses(fleet)
    yield from _gpus(fleet)
    for model, placements in fleet.placements.items():
        yield from _model(fleet, model, placements)
    yield from _shared_gpus(fleet)
    yield from arguments.check(fleet)
    yield from image_name.check(fleet)
    yield from _ports(fleet)
    yield from _gateway(fleet)
    yield from _secrets(fleet)
    yield from _logins(fleet)
    yield from _lab(fleet)


def _addresses(fleet: Fleet) -> Iterator[Problem]:
    owners: dict[IPv4Address, str] = {}
    for name, host in fleet.hosts.items():
        key, hint = ("hosts", name, "address"), "write the one it has in the hosts' own network"
        if _is_no_hosts(host.address):
            yield Problem(key, f"{host.address} is no host's address", hint)
        if host.address.is_loopback and len(fleet.hosts) > 1:
            what = f"{host.address} is the same for every host, so that no other reaches it"
            yield Problem(key, what, hint, severity="warning")
        owner = owners.setdefault(host.address, name)
        if owner != name:
            what = f"{host.address} is already {owner}'s address"
            yield Problem(("hosts", name, "address"), what, "give every host an address of its own")
    for name in fleet.network.names:
        host_name = name.removesuffix(f".{fleet.network.domain}")
        if host_name in fleet.hosts:
            key = ("network", "names", name)
            yield Problem.at(*key, what=f"is already the host {host_name}", hint="choose another name")


def _is_no_hosts(address: IPv4Address) -> bool:
    return address.is_multicast or address.is_reserved or address in IPv4Network("0.0.0.0/8")


def _gpus(fleet: Fleet) -> Iterator[Problem]:
    owners: dict[str, Key] = {}
    for name, host in fleet.hosts.items():
        for gpu, card in host.gpus.items():
            if card.uuid is None:
                continue
            key = ("hosts", name, "gpus", gpu, "uuid")
            owner = owners.setdefault(card.uuid, key)
            if owner != key:
                what = f"{card.uuid} is already GPU `{owner[3]}` of {owner[1]}"
                yield Problem(key, what, "compare with `nvidia-smi -L` on both hosts")


def _model(fleet: Fleet, model: str, placements: tuple[Placement, ...]) -> Iterator[Problem]:
    key: Key = ("placements", model)
    if model not in fleet.models:
        what = f"`{model}` is not a model of the catalogue"
        yield Problem(key, what, similar(model, fleet.models, "add it to inventory/models.yaml"))
    if not placements:
        what = f"`{model}` is placed on no host"
        yield Problem(key, what, "name a host, or take the line out", severity="warning")
    for index, placement in enumerate(placements):
        yield from _placement(fleet, model, placement, (*key, index))


def _placement(fleet: Fleet, model: str, placement: Placement, key: Key) -> Iterator[Problem]:
    host = fleet.hosts.get(placement.host)
    if host is None:
        what = f"`{placement.host}` is not one of `hosts`"
        yield Problem((*key, "host"), what, similar(placement.host, fleet.hosts))
        return
    if "models" not in host.roles:
        what = f"{placement.host} does not have the role `models`"
        hint = f"add it: `hosts.{placement.host}.roles: [{', '.join((*host.roles, 'models'))}]`"
        yield Problem((*key, "host"), what, hint)
    for index, device in enumerate(placement.devices):
        if device != CPU and host.card(device) is None:
            what = f"{placement.host} has no device `{device}`"
            yield Problem((*key, "devices", index), what, similar(device, (*host.devices, CPU)))
    if CPU in placement.devices and len(placement.devices) > 1:
        yield Problem(
            (*key, "devices"), "a model runs on `cpu` or on GPUs, not on both", "name one kind of device"
        )
    if model in fleet.models:
        yield from _count(fleet, model, placement, key)
        yield from _sizes(fleet, model, placement, key)


def _count(fleet: Fleet, model: str, placement: Placement, key: Key) -> Iterator[Problem]:
    needed = fleet.server(model, placement).devices_needed
    if needed is not None and len(placement.devices) != needed:
        what = f"`{model}` runs on {needed} device{'s' * (needed > 1)}, {len(placement.devices)} given"
        own = placement.tensor_parallel is not None
        setting = "`tensor_parallel` beside them" if own else f"`models.{model}.tensor_parallel`"
        spread = hasattr(fleet.models[model], "tensor_parallel")
        yield Problem(
            (*key, "devices"), what, f"name {needed}" + (f", or change {setting}" if spread else "")
        )


def _sizes(fleet: Fleet, model: str, placement: Placement, key: Key) -> Iterator[Problem]:
    server = fleet.models[model]
    for name in server.unsizable(placement.sizes):
        what = f"is no setting of `{model}`, a server of the kind `{server.server}`"
        yield Problem.at(*key, name, what=what, hint="take it out")


def _shared_gpus(fleet: Fleet) -> Iterator[Problem]:
    """Only what models say they take can be added up; those that do not say are left out."""
    taken: dict[tuple[str, str], float] = {}
    for model, placements in fleet.placements.items():
        server = fleet.models.get(model)
        share = None if server is None else server.memory_share
        for index, placement in enumerate(placements):
            for device in placement.devices:
                if share is None or device == CPU:
                    continue
                total = taken.get((placement.host, device), 0.0) + share
                taken[placement.host, device] = total
                if total > max(_FULLEST, share):
                    what = (
                        f"models on {placement.host}'s GPU `{device}` take {total:.0%} of its memory together"
                    )
                    hint = f"lower `gpu_memory_utilization` so that they stay under {_FULLEST:.0%}"
                    yield Problem(("placements", model, index, "devices"), what, hint)


def _ports(fleet: Fleet) -> Iterator[Problem]:
    owners: dict[tuple[str, int], tuple[str, int]] = {}
    for name in fleet.with_role("gateway"):
        owners[name, fleet.gateway.port] = ("the gateway", 0)
    for model, placements in fleet.placements.items():
        server = fleet.models.get(model)
        for index, placement in enumerate(placements):
            port = placement.port or (server.endpoint().port if server is not None else None)
            if port is None:
                continue
            replica = (f"`{model}`", index)
            owner = owners.setdefault((placement.host, port), replica)
            if owner != replica:
                yield _taken(model, index, placement, port, owner[0])


def _taken(model: str, index: int, placement: Placement, port: int, user: str) -> Problem:
    step = ("port",) if placement.port is not None else ()
    what = f"port {port} of {placement.host} is already {user}'s"
    return Problem(("placements", model, index, *step), what, "give this replica another `port`")


def _gateway(fleet: Fleet) -> Iterator[Problem]:
    if any(fleet.placements.values()) and not fleet.with_role("gateway"):
        what = "models are placed, but no host has the role `gateway`"
        yield Problem(
            ("placements",), what, "give a host `roles: [gateway]`; one with `models` can have both"
        )


def _secrets(fleet: Fleet) -> Iterator[Problem]:
    for model, placements in fleet.placements.items():
        server = fleet.models.get(model)
        if server is None or not placements:
            continue
        for variable, name in server.secret_names:
            if name not in fleet.secrets:
                what = f"`{name}` is not one of this environment's `secrets`"
                hint = f"write `secrets: {{{name}: env:{variable}}}`" + _or_similar(name, fleet.secrets)
                yield Problem(("models", model, "env", variable), what, hint)


def _or_similar(name: str, names: Mapping[str, object]) -> str:
    near = similar(name, names)
    return f"; {near}" if near is not None and near.startswith("did") else ""


def _logins(fleet: Fleet) -> Iterator[Problem]:
    for name, host in fleet.hosts.items():
        if host.ssh.user not in (None, "root") and not host.ssh.sudo:
            key = ("hosts", name, "ssh", "user")
            hint = "add `sudo: true` beside it, and `sudo_password` where sudo asks"
            yield Problem.at(*key, what=f"is `{host.ssh.user}`, who is not root", hint=hint)
        if host.ssh.sudo_password is not None and not host.ssh.sudo:
            key = ("hosts", name, "ssh", "sudo_password")
            yield Problem.at(*key, what="is given, but sudo is not used", hint="add `sudo: true`")


def _lab(fleet: Fleet) -> Iterator[Problem]:
    if fleet.lab is None:
        return
    for name, host in fleet.hosts.items():
        last = int(host.address) - int(LAB_NETWORK.network_address)
        if last not in LAB_ADDRESSES:
            low, high = LAB_NETWORK[LAB_ADDRESSES.start], LAB_NETWORK[LAB_ADDRESSES.stop - 1]
            what = f"{host.address} is not an address of a lab's host"
            yield Problem(("hosts", name, "address"), what, f"choose one from {low} to {high}")
        if host.os not in LAB_SYSTEMS:
            what = f"a lab cannot make {host.os} hosts"
            yield Problem(("hosts", name, "os"), what, f"there are {', '.join(LAB_SYSTEMS)}")
