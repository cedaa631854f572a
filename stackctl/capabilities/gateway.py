"""The stable URLs in front of all models: HAProxy on every host with the role `gateway`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType

from stackctl.capabilities.serving import Replica, replicas
from stackctl.core.artifact import FileTemplate
from stackctl.core.drain import agent_check
from stackctl.core.opening import Opening
from stackctl.schema.fleet import Fleet
from stackctl.schema.problem import Problem
from stackctl.servers.base import Api

PACKAGES = ("haproxy",)
UNIT = "haproxy.service"
CONFIG_FILE = "/etc/haproxy/haproxy.cfg"
LUA_FILE = "/etc/haproxy/stackctl/requests.lua"
CARDS_FILE = "/etc/haproxy/stackctl/models.map"
UNIT_FILE = "/etc/systemd/system/haproxy.service.d/stackctl.conf"
ADMIN_SOCKET = "/run/haproxy/admin.sock"
CHECK = ("haproxy", "-c", "-q", "-f", CONFIG_FILE)
"""Judges the configuration; the Lua and the cards that it names must be in place by then."""

PATHS: Mapping[Api, tuple[str, ...]] = MappingProxyType(
    {
        "chat": ("/v1/chat/completions",),
        "completions": ("/v1/completions",),
        "responses": ("/v1/responses",),
        "embeddings": ("/v1/embeddings",),
        "rerank": ("/v1/rerank", "/v2/rerank", "/rerank"),
        "score": ("/v1/score", "/score"),
        "classify": ("/classify",),
        "speech": ("/v1/audio/speech",),
        "transcriptions": ("/v1/audio/transcriptions",),
        "translations": ("/v1/audio/translations",),
        "images": ("/v1/images/generations", "/v1/images/edits", "/v1/images/variations"),
    }
)
"""All that may reach a replica, always by POST: servers answer much more, some of it without their key."""

_MIB = 1024 * 1024
_HEADERS = 64 * 1024
"""Room beside the body in HAProxy's buffers."""
_QUEUED_SHARE = 1.25
"""A short queue in the server keeps its batches full; what waits here can still go to another replica."""


@dataclass(frozen=True)
class GatewayModel:
    """One model as the gateway knows it."""

    name: str
    api: tuple[Api, ...]
    health_path: str
    """Answers 200 while the replica can work."""
    refuses_path: str | None
    """Answers 500 once the replica is about to go, where the health path does not say."""
    replicas: tuple[Replica, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that reach its replicas."""
        return tuple(sorted(path for api in self.api for path in PATHS[api]))

    @property
    def card(self) -> str:
        """The model as OpenAI's `/v1/models` describes one, with its APIs besides."""
        fields = {"id": self.name, "object": "model", "created": 0, "owned_by": "stackctl", "api": self.api}
        return json.dumps(fields, separators=(",", ":"))

    @property
    def servers(self) -> tuple[str, ...]:
        """HAProxy's `server` lines, in the order of the placements."""
        return tuple(_server(replica, alone=len(self.replicas) == 1) for replica in self.replicas)


@dataclass(frozen=True)
class GatewaySpec:
    """The gateway of one host."""

    address: str
    port: int
    metrics_port: int
    models: tuple[GatewayModel, ...]
    """In name order."""
    max_body: int
    """Largest request in bytes whose body names the model."""
    max_connections: int
    upload_timeout: int
    queue_timeout: int
    server_timeout: int

    @property
    def buffer(self) -> int:
        """Size of HAProxy's buffers: a whole request fits."""
        return self.max_body + _HEADERS

    @property
    def linger(self) -> int:
        """Seconds that the old process may go on with its streams after a reload."""
        return max(3600, self.server_timeout)

    @property
    def list(self) -> str:
        """The answer to `GET /v1/models`."""
        return f'{{"object":"list","data":[{",".join(model.card for model in self.models)}]}}'

    @property
    def paths(self) -> tuple[str, ...]:
        """All that any model could answer."""
        return tuple(sorted({path for paths in PATHS.values() for path in paths}))


def resolve(fleet: Fleet, host: str) -> GatewaySpec | None:
    """The gateway; None for hosts without the role."""
    if "gateway" not in fleet.hosts[host].roles:
        return None
    wanted = fleet.gateway
    return GatewaySpec(
        address=str(fleet.inside(host)),
        port=wanted.port,
        metrics_port=wanted.metrics_port,
        models=_models(fleet),
        max_body=wanted.max_body * _MIB,
        max_connections=wanted.max_connections,
        upload_timeout=wanted.upload_timeout,
        queue_timeout=wanted.queue_timeout,
        server_timeout=wanted.server_timeout,
    )


def templates(spec: GatewaySpec) -> tuple[FileTemplate, ...]:
    """What HAProxy is started with, what its configuration names, and last the configuration itself."""
    files = {"lua": LUA_FILE, "cards": CARDS_FILE, "socket": ADMIN_SOCKET}
    return (
        FileTemplate(UNIT_FILE, "gateway/unit.conf.j2", {}),
        FileTemplate(LUA_FILE, "gateway/requests.lua.j2", {}),
        FileTemplate(CARDS_FILE, "gateway/models.map.j2", {"models": spec.models}),
        FileTemplate(CONFIG_FILE, "gateway/haproxy.cfg.j2", {"spec": spec, "files": files}),
    )


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:
    """The models' URLs for those who may ask, and metrics."""
    if "gateway" not in fleet.hosts[host].roles:
        return ()
    return (
        Opening(fleet.gateway.port, "tcp", "clients", "models' URLs"),
        Opening(fleet.gateway.metrics_port, "tcp", "management", "gateway's metrics"),
    )


def check(fleet: Fleet) -> Iterator[Problem]:
    """Ports that the gateway would fight over, and memory that it could run out of."""
    if fleet.with_role("gateway"):
        yield from _ports(fleet)
        yield from _memory(fleet)


def _models(fleet: Fleet) -> tuple[GatewayModel, ...]:
    placed = sorted(model for model, placements in fleet.placements.items() if placements)
    return tuple(
        GatewayModel(
            name,
            fleet.models[name].api,
            fleet.models[name].endpoint().health_path,
            fleet.models[name].endpoint().refuses_path,
            replicas(fleet, name),
        )
        for name in placed
    )


def _server(replica: Replica, *, alone: bool) -> str:
    line = f"{replica.name} {replica.address}:{replica.port}"
    if replica.max_requests is not None:
        line += f" maxconn {ceil(replica.max_requests * _QUEUED_SHARE)}"
    line += f" {agent_check(replica.address, replica.service)}"
    # One that comes back beside others warms up first; alone it takes everything at once anyway.
    return line if alone else f"{line} slowstart 30s"


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
    # Each request is held once while it waits, and once more for another try while a replica works on it.
    needed = ceil(2 * wanted.max_connections * wanted.max_body / 1024)
    if needed > wanted.memory:
        what = (
            f"is {wanted.max_body} MiB: {wanted.max_connections} connections with such requests fill "
            f"{needed} GiB of memory, and `gateway.memory` allows {wanted.memory}"
        )
        fitting = wanted.memory * 1024 // (2 * wanted.max_body)
        hint = f"lower `max_connections` to {fitting}, or raise `memory` if the gateway's hosts have it"
        yield Problem.at("gateway", "max_body", what=what, hint=hint)
