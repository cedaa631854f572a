"""What the settings of the gateway and the rest of the environment show to be wrong together."""

from collections.abc import Iterator
from math import ceil

from stackctl.schema.fleet import Fleet
from stackctl.schema.problem import Problem
from stackctl.schema.source import Key
from stackctl.schema.wording import similar


def problems(fleet: Fleet) -> Iterator[Problem]:
    """Ports that the gateway would fight over, memory that it could run out of, and names of nothing."""
    if fleet.with_role("gateway"):
        yield from _ports(fleet)
        yield from _memory(fleet)
    for model in fleet.gateway.models:
        yield from _model(fleet, model, ("gateway", "models", model))
    for name, key in fleet.gateway.keys.items():
        for index, model in enumerate(key.models or ()):
            yield from _model(fleet, model, ("gateway", "keys", name, "models", index))
    yield from _same_keys(fleet)


def _ports(fleet: Fleet) -> Iterator[Problem]:
    port = fleet.gateway.metrics_port
    if port == fleet.gateway.port:
        what = f"is {port}, which is already the port of the models' URLs"
        yield Problem.at("gateway", "metrics_port", what=what, hint="choose another port")
    for host in fleet.with_role("gateway"):
        for model, placement in fleet.on(host):
            if model in fleet.models and port == (placement.port or fleet.models[model].endpoint().port):
                what = f"is {port}, which is already `{model}`'s port on {host}"
                yield Problem.at("gateway", "metrics_port", what=what, hint="choose another port")


def _memory(fleet: Fleet) -> Iterator[Problem]:
    wanted = fleet.gateway
    # All buffers are as large as the largest request of any model.
    largest, key = _largest_body(fleet)
    # Each request is held once while it waits, and once more for another try while a replica works on it.
    needed = ceil(2 * wanted.max_connections * largest / 1024)
    if needed > wanted.memory:
        what = (
            f"is {largest} MiB: {wanted.max_connections} connections with such requests fill "
            f"{needed} GiB of memory, and `gateway.memory` allows {wanted.memory}"
        )
        fitting = wanted.memory * 1024 // (2 * largest)
        hint = f"lower `max_connections` to {fitting}, or raise `memory` if the gateway's hosts have it"
        yield Problem.at(*key, what=what, hint=hint)


def _largest_body(fleet: Fleet) -> tuple[int, Key]:
    """In MiB, and where it was written."""
    own = ((route.max_body, name) for name, route in fleet.gateway.models.items())
    largest, model = max(((size, name) for size, name in own if size is not None), default=(0, ""))
    if largest <= fleet.gateway.max_body:
        return fleet.gateway.max_body, ("gateway", "max_body")
    return largest, ("gateway", "models", model, "max_body")


def _model(fleet: Fleet, model: str, key: Key) -> Iterator[Problem]:
    if model not in fleet.models:
        what = f"`{model}` is not a model of the catalogue"
        yield Problem(key, what, similar(model, fleet.models, "add it to inventory/models.yaml"))
    elif not fleet.placements.get(model):
        what = f"`{model}` is placed on no host, so the gateway does not serve it"
        yield Problem(key, what, "place it, or take the name out here", severity="warning")


def _same_keys(fleet: Fleet) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for name, key in fleet.gateway.keys.items():
        setting, proof = ("sha256", key.sha256) if key.secret is None else ("secret", key.secret.written)
        owner = owners.setdefault(str(proof), name)
        if owner != name:
            what = f"is the key of `{owner}` as well: a request could not be told from the other's"
            hint = "give every client a key of its own"
            yield Problem.at("gateway", "keys", name, setting, what=what, hint=hint)
