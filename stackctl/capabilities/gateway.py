"""The stable URLs in front of all models: HAProxy on every host with the role `gateway`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from stackctl.core import exporter
from stackctl.core.access import PERIODS, ClientKey, Rate
from stackctl.core.artifact import FileTemplate
from stackctl.core.drain import agent_check
from stackctl.core.opening import Opening
from stackctl.core.secret import SecretRef
from stackctl.schema import gateway_fit
from stackctl.schema.fleet import Fleet
from stackctl.schema.gateway import ApiKey, ModelRoute, Tls
from stackctl.schema.problem import Problem
from stackctl.schema.replica import Replica, replicas
from stackctl.servers.api import PATHS, Api

PACKAGES = ("haproxy", exporter.PACKAGE)
UNIT = "haproxy.service"
CONFIG_FILE = "/etc/haproxy/haproxy.cfg"
LUA_FILE = "/etc/haproxy/stackctl/requests.lua"
CARDS_FILE = "/etc/haproxy/stackctl/models.map"
CALLERS_FILE = "/etc/haproxy/stackctl/callers.map"
KEYS_FILE = "/etc/haproxy/stackctl/keys.map"
CERTIFICATE_FILE = "/etc/haproxy/stackctl/gateway.pem"
PARTS = (LUA_FILE, CARDS_FILE, CALLERS_FILE, KEYS_FILE)
"""What the configuration names, with or without a certificate."""
UNIT_FILE = "/etc/systemd/system/haproxy.service.d/stackctl.conf"
ADMIN_SOCKET = "/run/haproxy/admin.sock"
CHECK = ("haproxy", "-c", "-q", "-f", CONFIG_FILE)
"""Judges the configuration; the files that it names must be in place by then."""
CERTIFICATE_CHECK = (
    "sh",
    "-c",
    'printf "%s\\n" "frontend f" "mode http" "timeout client 1s" "bind abns@f ssl crt $1" | haproxy -c -f /dev/stdin',
    "check",
    CERTIFICATE_FILE,
)
"""Judges a certificate together with its key."""


_MIB = 1024 * 1024
EVERYBODY = "-"
"""The caller of a gateway without keys, in its files and its log."""

_HEADERS = 64 * 1024
"""Room beside the body in HAProxy's buffers."""
_QUEUED_SHARE = 1.25
"""A short queue in the server keeps its batches full; what waits here can still go to another replica."""
_MOST_NAMED = 20
"""Models that an error names; a list has them all."""


@dataclass(frozen=True)
class Caller:
    """Whoever has a certain key, or everybody where there are none."""

    name: str
    models: tuple["GatewayModel", ...]
    """Those it may use."""

    @property
    def list(self) -> str:
        """The answer to its `GET /v1/models`."""
        return f'{{"object":"list","data":[{",".join(model.card for model in self.models)}]}}'

    @property
    def told(self) -> str:
        """Which models there are for it, for errors."""
        names = [f"`{model.name}`" for model in self.models]
        if (more := len(names) - _MOST_NAMED) > 0:
            names = [*names[:_MOST_NAMED], f"{more} more"]
        if len(names) < 2:
            return f"there is {names[0]}" if names else "there are none"
        return f"there are {', '.join(names[:-1])} and {names[-1]}"


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
    route: ModelRoute
    """What is done otherwise with its requests."""
    own_paths: tuple[str, ...] = ()
    """Paths besides those of its APIs."""
    reads: tuple[str, ...] = ()
    """Paths that may be read, with GET."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that reach its replicas."""
        return tuple(sorted({*(path for api in self.api for path in PATHS[api]), *self.own_paths}))

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
    queue: int
    queue_timeout: int
    server_timeout: int
    keys: tuple[ClientKey, ...] = ()
    """In name order; none: all who reach the gateway may use all models."""
    tls: Tls | None = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        if self.tls is None:
            return f"http://{self.address}:{self.port}"
        return f"https://{self.tls.name or self.address}:{self.port}"

    @property
    def largest(self) -> int:
        """Largest request in bytes of any model."""
        return max(self.max_body, *(self.limit(model) for model in self.models), 0)

    @property
    def buffer(self) -> int:
        """Size of HAProxy's buffers: a whole request fits."""
        return self.largest + _HEADERS

    @property
    def longest_silence(self) -> int:
        """Seconds that a replica of any model may be silent."""
        return max(self.server_timeout, *(model.route.server_timeout or 0 for model in self.models), 0)

    @property
    def linger(self) -> int:
        """Seconds that the old process may go on with its streams after a reload."""
        return max(3600, self.longest_silence)

    @property
    def callers(self) -> tuple[Caller, ...]:
        """Everyone who may ask, with what there is for them."""
        if not self.keys:
            return (Caller(EVERYBODY, self.models),)
        return tuple(
            Caller(key.name, tuple(model for model in self.models if key.may_use(model.name)))
            for key in self.keys
        )

    @property
    def units(self) -> tuple[str, ...]:
        """Periods of the rates of all keys."""
        used = {key.rate.unit for key in self.keys if key.rate is not None}
        return tuple(unit for unit in PERIODS if unit in used)

    def limit(self, model: GatewayModel) -> int:
        """Largest request for a model in bytes, where its body names it."""
        return self.max_body if model.route.max_body is None else model.route.max_body * _MIB

    @property
    def paths(self) -> tuple[str, ...]:
        """All that any model could answer."""
        own = {path for model in self.models for path in (*model.own_paths, *model.reads)}
        return tuple(sorted({path for paths in PATHS.values() for path in paths} | own))

    @property
    def reads(self) -> tuple[str, ...]:
        """Paths of any model that may be read."""
        return tuple(sorted({path for model in self.models for path in model.reads}))


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
        queue=wanted.queue,
        queue_timeout=wanted.queue_timeout,
        server_timeout=wanted.server_timeout,
        keys=tuple(_key(name, key) for name, key in sorted(wanted.keys.items())),
        tls=wanted.tls,
    )


def templates(spec: GatewaySpec) -> tuple[FileTemplate, ...]:
    """What HAProxy is started with, what its configuration names, and last the configuration itself."""
    files = {
        "lua": LUA_FILE,
        "cards": CARDS_FILE,
        "callers": CALLERS_FILE,
        "hashes": KEYS_FILE,
        "certificate": CERTIFICATE_FILE,
        "socket": ADMIN_SOCKET,
    }
    values = {
        "spec": spec,
        "files": files,
        "periods": PERIODS,
        "everybody": EVERYBODY,
        "exporter": exporter.ADDRESS,
    }
    return (
        FileTemplate(UNIT_FILE, "gateway/unit.conf.j2", {}),
        *_secret_files(spec),
        FileTemplate(LUA_FILE, "gateway/requests.lua.j2", {}),
        FileTemplate(CARDS_FILE, "gateway/models.map.j2", {"models": spec.models}),
        FileTemplate(CALLERS_FILE, "gateway/callers.map.j2", {"callers": spec.callers}),
        FileTemplate(CONFIG_FILE, "gateway/haproxy.cfg.j2", values),
        *exporter.templates(
            spec.metrics_port, [model.name for model in spec.models], [key.name for key in spec.keys]
        ),
    )


def _secret_files(spec: GatewaySpec) -> Iterator[FileTemplate]:
    """What root alone reads, which is HAProxy before it gives up its rights."""
    if spec.tls is not None:
        parts = {"certificate": spec.tls.certificate.placeholder, "key": spec.tls.key.placeholder}
        secrets = tuple(sorted({spec.tls.certificate, spec.tls.key}))
        yield FileTemplate(CERTIFICATE_FILE, "gateway/gateway.pem.j2", parts, mode=0o600, secrets=secrets)
    secrets = tuple(sorted({key.source for key in spec.keys if isinstance(key.source, SecretRef)}))
    yield FileTemplate(KEYS_FILE, "gateway/keys.map.j2", {"keys": spec.keys}, mode=0o600, secrets=secrets)


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:
    """The models' URLs for those who may ask, and metrics."""
    if "gateway" not in fleet.hosts[host].roles:
        return ()
    return (
        Opening(fleet.gateway.port, "tcp", "clients", "models' URLs"),
        Opening(fleet.gateway.metrics_port, "tcp", "management", "gateway's metrics"),
    )


def check(fleet: Fleet) -> Iterator[Problem]:
    """Ports that the gateway would fight over, memory that it could run out of, and names of nothing."""
    yield from gateway_fit.problems(fleet)


def _models(fleet: Fleet) -> tuple[GatewayModel, ...]:
    placed = sorted(model for model, placements in fleet.placements.items() if placements)
    return tuple(
        GatewayModel(
            name,
            fleet.models[name].api,
            fleet.models[name].endpoint().health_path,
            fleet.models[name].endpoint().refuses_path,
            replicas(fleet, name),
            fleet.gateway.models.get(name, ModelRoute()),
            fleet.models[name].own_paths,
            fleet.models[name].reads,
        )
        for name in placed
    )


def _key(name: str, key: ApiKey) -> ClientKey:
    models = None if key.models is None else tuple(sorted(key.models))
    rate = None if key.rate is None else Rate.parse(key.rate)
    return ClientKey(name, key.secret or str(key.sha256), models, rate)


def _server(replica: Replica, *, alone: bool) -> str:
    line = f"{replica.name} {replica.address}:{replica.port}"
    if replica.max_requests is not None:
        line += f" maxconn {ceil(replica.max_requests * _QUEUED_SHARE)}"
    line += f" {agent_check(replica.address, replica.service)}"
    # One that comes back beside others warms up first; alone it takes everything at once anyway.
    return line if alone else f"{line} slowstart 30s"
