"""A replica that is replaced, removed or let in again with nobody's request lost; its steps on the host."""

import re
import shlex
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from stackctl.capabilities.serving import Running
from stackctl.core.artifact import Artifact
from stackctl.ops import composestate
from stackctl.ops.services import environment_files
from stackctl.ops.step import TOLD, Step
from stackctl.plan.difference import duration

BRING_SECONDS = 900
"""Waiting for another run that is at it on the host, and making the container."""

_WARM_SECONDS = 120
_STOP_SECONDS = 30
"""Where nothing is known of what a container was made from."""

Service = Mapping[str, Any]


def replaced(
    project: str, file: Artifact, item: Running, services: tuple[Service, Service], why: str, cost: str
) -> Step:
    """Drain a replica, replace it, wait until it answers, warm it up and let it back in, or have it as it was.

    `services` are its service in the compose files of before and of now.
    """
    before, after = services
    stop = max(item.stop_seconds, _grace(before))
    # Stopped and started, and the same again for the way back.
    most = 3 * stop + 2 * item.start_seconds + 2 * BRING_SECONDS + _WARM_SECONDS
    url, body = item.warm_up or ("", "")
    values: dict[str, str | int] = {
        "file": file.path,
        "url": item.health_url,
        "start": item.start_seconds,
        "stop": stop,
        "ports": _ports(before) or _ports(after),
        "drained": most,
        "settings": " ".join(sorted({*environment_files(before), *environment_files(after)})),
        "warm_url": url,
        "warm_body": body,
        "arithmetic": item.arithmetic,
    }
    return Step(
        script(project, item.service, "replace", **values),
        reason=f"{why} ({cost})",
        seconds=most,
        hint="the lines above are the new container's errors and its last; mend its arguments or image and apply again",
    )


def removed(project: str, service: str, container: str, before: Service, why: str) -> Step:
    """Drain a replica, stop it and take it away."""
    stop = _grace(before)
    values: dict[str, str | int] = {
        "id": container,
        "stop": stop,
        "ports": _ports(before),
        "drained": 2 * stop + BRING_SECONDS,
    }
    return Step(
        script(project, service, "remove", **values),
        reason=why,
        action="remove",
        seconds=2 * stop + BRING_SECONDS,
        hint=f"read `docker logs {container[:12]}` on the host",
    )


def let_in(project: str, service: str) -> Step:
    """End a drain that a run which was cut off has left."""
    why = f"let {service} back in, which was left drained"
    return Step(script(project, service, "end_drain"), reason=why, action="run")


def script(project: str, service: str, what: str, **values: str | int) -> str:
    """What replicas are handled with, the values of one, and what to do with it."""
    known = dict.fromkeys(_NAMES, "") | {
        "project": project,
        "service": service,
        "drains": composestate.DRAINS,
        "kept": composestate.KEPT,
        "told": TOLD,
    }
    head = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in {**known, **values}.items())
    return f"{head}\n{_library()}{what}\n"


def without(item: Running, measured: int | None) -> str:
    """`drained first, about 52 s without this replica`: by the last start on the host, else by what is assumed."""
    seconds = item.loads_seconds if measured is None else measured
    told = f"up to {duration(item.start_seconds)}" if seconds is None else f"about {duration(seconds)}"
    return f"drained first, {told} without {'service' if item.alone else 'this replica'}"


_NAMES = (
    "file", "id", "url", "ports", "start", "stop", "drained", "settings", "warm_url", "warm_body", "arithmetic",
)  # fmt: skip


@cache
def _library() -> str:
    text = files("stackctl.ops").joinpath("replica.sh").read_text("utf-8")
    return re.sub(r"(?m)^ *#.*\n", "", text)


def _ports(service: Service) -> str:
    """Where a container listens, as ss filters it."""
    ports = [port.get("target") for port in service.get("ports") or () if isinstance(port, dict)]
    return " or ".join(f"sport = :{port}" for port in ports if isinstance(port, int))


def _grace(service: Service) -> int:
    """How long a container that is told to stop has, in seconds."""
    match = re.fullmatch(r"(\d+)s", str(service.get("stop_grace_period")))
    return int(match[1]) if match else _STOP_SECONDS
