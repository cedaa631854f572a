"""What a change of the gateway means for who sends it requests."""

from collections.abc import Iterator

from stackctl.capabilities.gateway import GatewayModel, GatewaySpec
from stackctl.core.access import ClientKey
from stackctl.plan.change import Action
from stackctl.plan.delta import delta, record
from stackctl.plan.difference import Difference, listed, settings
from stackctl.schema.gateway import Tls
from stackctl.schema.replica import Replica

_TOLD = {"models", "keys", "tls", "address", "port", "metrics_port"}
"""Fields with words of their own."""


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
    yield from _keys(before, after)
    if before is not None:
        yield from _tls(before, after)
    yield from listed("ports", _ports(before), _ports(after))
    yield from settings(before, after, leave_out=_TOLD)


def _keys(before: GatewaySpec | None, after: GatewaySpec) -> Iterator[Difference]:
    old = {key.name: _key(key) for key in before.keys} if before else {}
    new = {key.name: _key(key) for key in after.keys}
    closed = "from now on all requests need a key" if before and not old else ""
    opened = "from now on everybody may use all models" if not new else "is answered with 401"
    found = delta(old, new)
    if found.added:
        yield Difference("add", "keys", items=found.added, note=closed)
    if found.changed:
        yield Difference("change", "keys", items=found.changed)
    if found.removed:
        yield Difference("remove", "keys", items=found.removed, note=opened)


def _key(key: ClientKey) -> dict[str, str]:
    """What it may do, as a person reads it."""
    source = key.source if isinstance(key.source, str) else key.source.written
    return {
        "for": "all models" if key.models is None else ", ".join(key.models),
        "rate": "unlimited" if key.rate is None else key.rate.written,
        "is": f"sha256 {source[:12]}…" if isinstance(key.source, str) else source,
    }


def _tls(before: GatewaySpec, after: GatewaySpec) -> Iterator[Difference]:
    if before.tls is None or after.tls is None:
        action: Action = "add" if before.tls is None else "remove"
        if before.tls != after.tls:
            yield Difference(action, "tls", note=f"from now on its URLs begin with {after.url}")
        return
    found = delta(_given(before.tls), _given(after.tls))
    items = (
        *found.changed,
        *(f"{item} joins" for item in found.added),
        *(f"{item} goes" for item in found.removed),
    )
    if items:
        yield Difference("change", "tls", items=items)


def _given(tls: Tls) -> dict[str, object]:
    return {name: value for name, value in record(tls).items() if value is not None}


def _urls(spec: GatewaySpec, model: GatewayModel) -> tuple[str, ...]:
    return tuple(f"{spec.url}/m/{model.name}{path}" for path in (*model.paths, *model.reads))


def _changed(before: GatewayModel, after: GatewayModel) -> Iterator[Difference]:
    found = delta(_replicas(before), _replicas(after))
    paths = delta((*before.paths, *before.reads), (*after.paths, *after.reads))
    items = (
        *(f"replica {item}" for item in found.changed),
        *(f"replica {item} joins" for item in found.added),
        *(f"replica {item} goes" for item in found.removed),
        *(f"{path} joins" for path in paths.added),
        *(f"{path} goes" for path in paths.removed),
        *_limits(before, after),
    )
    if items or before != after:
        checks = () if items else ("its health is asked otherwise",)
        yield Difference("change", "model", after.name, items or checks)


def _limits(before: GatewayModel, after: GatewayModel) -> Iterator[str]:
    old, new = record(before.route), record(after.route)
    for name in new:
        if old[name] != new[name]:
            was, becomes = ("the gateway's" if value is None else value for value in (old[name], new[name]))
            yield f"{name.replace('_', ' ')} {was} → {becomes}"


def _replicas(model: GatewayModel) -> dict[str, dict[str, str | int]]:
    return {replica.name: _reached(replica) for replica in model.replicas}


def _reached(replica: Replica) -> dict[str, str | int]:
    limit = {} if replica.max_requests is None else {"max requests": replica.max_requests}
    return {"at": f"{replica.address}:{replica.port}", **limit}


def _ports(spec: GatewaySpec | None) -> dict[str, str]:
    if spec is None:
        return {}
    return {f"{spec.address}:{spec.port}": "to models", f"{spec.address}:{spec.metrics_port}": "to metrics"}
