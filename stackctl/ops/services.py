"""Compare two compose files, service by service: what makes Compose replace a container."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from stackctl.ops.wording import some

_LONGEST_SHOWN = 70
_IMAGE = re.compile(r"(?P<name>.+?)(?::(?P<tag>[^:/@]+))?(?:@sha256:(?P<digest>[0-9a-f]+))?")
_GPU = re.compile(r"(GPU-[0-9a-f]{8})[0-9a-f-]{28}")
"""The first group of a GPU's identifier is enough to know it by."""

Services = Mapping[str, Mapping[str, Any]]


def services(text: str | None) -> Services:
    """The services of a compose file by name; none where it is not one."""
    try:
        parsed = yaml.safe_load(text or "")
    except yaml.YAMLError:
        return {}
    found = parsed.get("services") if isinstance(parsed, dict) else None
    entries = found.items() if isinstance(found, dict) else ()
    return {str(name): service for name, service in entries if isinstance(service, dict)}


def environment_files(service: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of the files with variables that a service is given."""
    listed = service.get("env_file") or ()
    entries = listed if isinstance(listed, list) else [listed]
    return tuple(str(entry.get("path") if isinstance(entry, dict) else entry) for entry in entries)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """`image v0.32.0 becomes v0.33.0, command`: the fields that differ, with their values where these are short.

    Empty where the two are the same.
    """
    old, new = _fields(before), _fields(after)
    changed = [name for name in {**new, **old} if old.get(name) != new.get(name)]
    return some([_worded(name, old.get(name), new.get(name)) for name in changed])


def _fields(service: Mapping[str, Any]) -> dict[str, Any]:
    """A service's fields by the name a person knows them by: GPUs are deep within `deploy`."""
    fields = dict(service)
    try:
        reservations = fields["deploy"]["resources"]["reservations"]
        names = [name for device in reservations["devices"] for name in device["device_ids"]]
    except (KeyError, TypeError):
        return fields
    others = {key: value for key, value in reservations.items() if key != "devices"}
    rest = {**fields.pop("deploy"), "resources": {**service["deploy"]["resources"], "reservations": others}}
    if rest != {"resources": {"reservations": {}}}:
        fields["deploy"] = rest
    return {**fields, "devices": names}


def _worded(name: str, old: Any, new: Any) -> str:
    show = {"image": _images, "ports": _ports, "devices": _devices}.get(name)
    if show is None:
        return name
    before, after = show(old, new)
    text = f"{name} {before} becomes {after}"
    return text if before != after and len(text) <= _LONGEST_SHOWN else name


def _images(old: Any, new: Any) -> tuple[str, str]:
    """Versions alone where only these differ."""
    before, after = _IMAGE.fullmatch(str(old)), _IMAGE.fullmatch(str(new))
    if before is None or after is None:
        return str(old), str(new)
    if before["name"] == after["name"]:
        return _version(before), _version(after)
    return f"{before['name']}:{_version(before)}", f"{after['name']}:{_version(after)}"


def _version(image: re.Match[str]) -> str:
    digest = f"@{image['digest'][:12]}" if image["digest"] else ""
    return f"{image['tag'] or ''}{digest}" or "latest"


def _ports(old: Any, new: Any) -> tuple[str, str]:
    return _joined(old, _port), _joined(new, _port)


def _port(port: Any) -> str:
    if not isinstance(port, dict):
        return str(port)
    return f"{port.get('host_ip', '')}:{port.get('published', '')}".lstrip(":")


def _devices(old: Any, new: Any) -> tuple[str, str]:
    return _joined(old, _device), _joined(new, _device)


def _device(name: Any) -> str:
    return _GPU.sub(r"\1", str(name).rpartition("=")[2])


def _joined(values: Any, show: Any) -> str:
    return ", ".join(show(value) for value in values) if isinstance(values, list) and values else "none"
