"""What a change of a host's containers means for who uses them."""

from collections.abc import Iterator
from typing import Any

from stackctl.capabilities.serving import Running, ServingSpec
from stackctl.core.compose import Bind, Service, Volume
from stackctl.plan.delta import arguments, delta, record
from stackctl.plan.difference import Difference, duration, listed

_REWORDED = {"image", "command", "env_file", "ports", "volumes", "deploy", "labels"}
"""Fields that Compose nests, or that a person reads elsewhere; `_described` has them in short."""
_SECRETS_LABEL = "stackctl.secrets"
"""A hash of the references, which are shown themselves."""


def containers(before: ServingSpec | None, after: ServingSpec) -> Iterator[Difference]:
    """Containers that are created, recreated and removed; images, ports and weights that this takes."""
    old, new = _running(before), _running(after)
    for name, item in new.items():
        if name not in old:
            yield _created(after, item)
        elif before is not None:
            yield from _kept(before, after, old[name], item)
    for name in old:
        if name not in new:
            yield Difference("remove", "container", name, note="stopped and removed")
    # An image that is no longer used stays on the host's disk, which changes nothing.
    pulled = tuple(image for image in after.images if before is None or image not in before.images)
    yield from listed("images", (), pulled)
    yield from listed("ports", _ports(before), _ports(after))
    yield from listed("volumes", before.project.volumes if before else (), after.project.volumes)


def unchanged(before: ServingSpec, after: ServingSpec | None) -> frozenset[str]:
    """Containers that an apply would leave running."""
    services = {} if after is None else after.project.services
    return frozenset(
        name for name, service in before.project.services.items() if services.get(name) == service
    )


def _running(spec: ServingSpec | None) -> dict[str, Running]:
    return {item.service: item for item in spec.running} if spec else {}


def _created(spec: ServingSpec, item: Running) -> Difference:
    service = spec.project.services[item.service]
    items = (f"image {item.image}", f"devices {', '.join(_devices(service))}")
    note = f"created: up to {duration(item.start_seconds)} until it answers"
    return Difference("add", "container", item.service, items, note)


def _kept(before: ServingSpec, after: ServingSpec, old: Running, new: Running) -> Iterator[Difference]:
    was, becomes = before.project.services[old.service], after.project.services[new.service]
    if was != becomes:
        items = _items(_described(before, old.service), _described(after, new.service))
        yield Difference("change", "container", new.service, items, f"recreated: {_without(new)}")
    elif old.waited_for != new.waited_for:
        fields = ("health_url", "start_seconds")
        items = _items(*({field: record(each)[field] for field in fields} for each in (old, new)))
        yield Difference("change", "wait for", new.service, items, "in place: the container runs on")


def _without(item: Running) -> str:
    """For how long it answers nothing, as far as that is known without its host."""
    told = f"up to {duration(item.start_seconds)}"
    if item.loads_seconds is not None:
        told = f"about {duration(item.loads_seconds)}"
    return f"{told} without {'service' if item.alone else 'this replica'}"


def _described(spec: ServingSpec, name: str) -> dict[str, Any]:
    """A service by the names of what a person wrote, the telling things first."""
    service = spec.project.services[name]
    files = {file.path for file in service.env_file}
    secrets = {name: ref for item in spec.secrets if item.path in files for name, ref in item.variables}
    return {
        "image": service.image,
        "command": service.command,
        "devices": _devices(service),
        "limit": _limits(service),
        "secret": secrets,
        "mount": {mount.target: _source(mount) for mount in service.volumes},
        "port": {f"{port.host_ip}:{port.published}": f"to {port.target}" for port in service.ports},
        "label": {key: value for key, value in service.labels.items() if key != _SECRETS_LABEL},
        **{field: value for field, value in record(service).items() if field not in _REWORDED},
    }


def _items(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    return tuple(item for field in after for item in _words(field, before[field], after[field]))


def _words(field: str, before: Any, after: Any) -> Iterator[str]:
    name = field.replace("_", " ")
    if field == "command":
        yield from (f"command {item}" for item in arguments(before, after))
        return
    found = delta(before, after)
    yield from (f"{name} {item}" for item in found.changed)
    if field == "devices" and found.added and found.removed:
        yield f"{name} {', '.join(found.removed)} → {', '.join(found.added)}"
        return
    yield from (f"{name} {item} joins" for item in found.added)
    yield from (f"{name} {item} goes" for item in found.removed)


def _devices(service: Service) -> tuple[str, ...]:
    reserved = service.deploy.resources.reservations if service.deploy else None
    if reserved is None:
        return ("cpu",)
    return tuple(name for item in reserved.devices for name in item.device_ids)


def _limits(service: Service) -> dict[str, str]:
    limits = service.deploy.resources.limits if service.deploy else None
    return {} if limits is None else limits.model_dump(exclude_none=True)


def _source(mount: Bind | Volume) -> str:
    return f"{mount.source}, read-only" if isinstance(mount, Bind) and mount.read_only else mount.source


def _ports(spec: ServingSpec | None) -> dict[str, str]:
    services = spec.project.services if spec else {}
    return {
        f"{port.host_ip}:{port.published}": f"to {name}"
        for name, service in services.items()
        for port in service.ports
    }
