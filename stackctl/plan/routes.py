"""What a change of the gateway means for who sends it requests."""

from collections.abc import Iterator

from stackctl.capabilities.gateway import GatewayModel, GatewaySpec
from stackctl.capabilities.serving import Replica
from stackctl.plan.delta import delta
from stackctl.plan.difference import Difference, listed, settings


def routes(before: GatewaySpec | None, after: GatewaySpec) -> Iterator[Difference]:
    """Models that appear at its URLs, go from them or are answered by other replicas; ports and limits."""
    old = {model.name: model for model in before.models} if before else {}
    new = {model.name: model for model in after.models}
    for name, model in new.items():
        if name not in old:
            yield Difference("add", "model", name, _urls(after, model), "appears")
        elif before is not None:
            yield from _changed(old[name], model)
    for name, model in old.items():
        if name not in new and before is not None:
            note = "its URLs answer 404"
            yield Difference("remove", "model", name, _urls(before, model), note)
    yield from listed("ports", _ports(before), _ports(after))
    yield from settings(before, after, leave_out={"models", "address", "port", "metrics_port"})


def _urls(spec: GatewaySpec, model: GatewayModel) -> tuple[str, ...]:
    return tuple(
        f"http://{spec.address}:{spec.port}/m/{model.name}{path}" for path in (*model.paths, *model.reads)
    )


def _changed(before: GatewayModel, after: GatewayModel) -> Iterator[Difference]:
    found = delta(_replicas(before), _replicas(after))
    paths = delta((*before.paths, *before.reads), (*after.paths, *after.reads))
    items = (
        *(f"replica {item}" for item in found.changed),
        *(f"replica {item} joins" for item in found.added),
        *(f"replica {item} goes" for item in found.removed),
        *(f"{path} joins" for path in paths.added),
        *(f"{path} goes" for path in paths.removed),
    )
    if items or before != after:
        checks = () if items else ("its health is asked otherwise",)
        yield Difference("change", "model", after.name, items or checks)


def _replicas(model: GatewayModel) -> dict[str, dict[str, str | int]]:
    return {replica.name: _reached(replica) for replica in model.replicas}


def _reached(replica: Replica) -> dict[str, str | int]:
    limit = {} if replica.max_requests is None else {"max requests": replica.max_requests}
    return {"at": f"{replica.address}:{replica.port}", **limit}


def _ports(spec: GatewaySpec | None) -> dict[str, str]:
    if spec is None:
        return {}
    return {f"{spec.address}:{spec.port}": "to models", f"{spec.address}:{spec.metrics_port}": "to metrics"}
