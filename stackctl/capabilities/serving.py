"""Model servers: one Compose project on every host that carries models."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from stackctl.core import drain
from stackctl.core.artifact import FileTemplate
from stackctl.core.compose import (
    Bind,
    Deploy,
    Devices,
    EnvironmentFile,
    HealthCheck,
    Limits,
    Port,
    Project,
    Reservations,
    Resources,
    Service,
    Volume,
)
from stackctl.core.opening import Opening
from stackctl.core.secret import SecretRef
from stackctl.schema import model_fit
from stackctl.schema.fleet import Fleet
from stackctl.schema.host import Host
from stackctl.schema.problem import Problem
from stackctl.schema.replica import service_name
from stackctl.schema.serving import CPU, Placement
from stackctl.servers.base import Launch, LocalWeights, NamedSecret, Server

PROJECT = "stackctl"
FOLDER = "/etc/stackctl/serving"
COMPOSE_FILE = f"{FOLDER}/compose.yaml"


@dataclass(frozen=True)
class Secrets:
    """The secret variables of one container, in a file that root alone reads."""

    path: str
    variables: tuple[tuple[str, SecretRef], ...]


@dataclass(frozen=True)
class Running:
    """One container as a person knows it."""

    service: str
    model: str
    image: str
    """As it is pulled."""
    health_url: str
    """Answers the host itself with 200 once the model is loaded."""
    start_seconds: int
    """How long that may take."""
    stop_seconds: int = 30
    """How long it may go on with what it has begun before it is replaced."""
    loads_seconds: int | None = None
    """How long its weights take to be read, as far as their size is known; None: it is not."""
    alone: bool = False
    """Whether the model has no other replica, so that it is not served while this one is replaced."""
    warm_up: tuple[str, str] | None = None
    """URL and body of the request that it is given before all others; None: none."""
    arithmetic: str = ""
    """What of its device's memory it needs for what, told where that runs out."""

    @property
    def waited_for(self) -> tuple[str, int]:
        """Where and how long it is waited for."""
        return self.health_url, self.start_seconds


@dataclass(frozen=True)
class ServingSpec:
    """All containers of one host; none is a spec too, which removes the last."""

    project: Project
    running: tuple[Running, ...]
    secrets: tuple[Secrets, ...]
    address: str
    """Where gateways ask which of them are being drained."""

    @property
    def weights(self) -> tuple[str, ...]:
        """Directories of weights that must be on the host before a server starts on them."""
        services = self.project.services.values()
        mounts = (mount for service in services for mount in service.volumes)
        return tuple(
            sorted({mount.source for mount in mounts if isinstance(mount, Bind) and mount.read_only})
        )

    @property
    def images(self) -> tuple[str, ...]:
        """Every image once."""
        return tuple(sorted({item.image for item in self.running}))


def resolve(fleet: Fleet, host: str) -> ServingSpec | None:
    """The host's containers; None where it carries no models."""
    if "models" not in fleet.hosts[host].roles:
        return None
    placed = [_Placed(fleet, model, placement) for model, placement in fleet.on(host)]
    return ServingSpec(
        project=Project(
            name=PROJECT,
            services={item.name: item.service() for item in placed},
            volumes=tuple(sorted(volume for item in placed for volume in item.volumes())),
        ),
        running=tuple(item.running() for item in placed),
        secrets=tuple(item.secrets for item in placed if item.secrets.variables),
        address=str(fleet.inside(host)),
    )


def templates(spec: ServingSpec) -> tuple[FileTemplate, ...]:
    """What gateways are told by, the project, and a file of secret variables for each container that has some."""
    project = FileTemplate(COMPOSE_FILE, "serving/compose.yaml.j2", {"project": spec.project})
    return (*drain.templates(spec.address), project, *(_secret_file(item) for item in spec.secrets))


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:
    """Every replica's port, for the gateways; asked too of a fleet whose models are not all in the catalogue."""
    found = tuple(
        Opening(
            placement.port or fleet.models[model].endpoint().port, "tcp", "gateways", f"replica of {model}"
        )
        for model, placement in fleet.on(host)
        if model in fleet.models
    )
    return (*found, Opening(drain.PORT, "tcp", "gateways", "drained replicas")) if found else ()


def check(fleet: Fleet) -> Iterator[Problem]:
    """No container has the name or the port of another, and models fit in their GPUs."""
    yield from model_fit.problems(fleet)
    for host in fleet.hosts:
        owners: dict[str, str] = {}
        for model, placement in fleet.on(host):
            if (
                model in fleet.models
                and (placement.port or fleet.models[model].endpoint().port) == drain.PORT
            ):
                what = f"port {drain.PORT} of {host} is where gateways ask which replicas are being drained"
                yield Problem(("placements", model), what, "give the placement another `port`")
            name = service_name(model, placement)
            owner = owners.setdefault(name, model)
            if owner != model:
                what = f"`{model}` and `{owner}` would both be the container `{name}` of {host}"
                yield Problem(("placements", model), what, "rename one of the models")


def _secret_file(secrets: Secrets) -> FileTemplate:
    values = {"variables": [(name, ref.placeholder) for name, ref in secrets.variables]}
    references = tuple(sorted({ref for _, ref in secrets.variables}))
    return FileTemplate(secrets.path, "serving/secrets.env.j2", values, mode=0o600, secrets=references)


class _Placed:
    """One placement with all it refers to."""

    def __init__(self, fleet: Fleet, model: str, placement: Placement) -> None:
        self.fleet = fleet
        self.model = model
        self.placement = placement
        self.name = service_name(model, placement)
        self.server: Server = fleet.server(model, placement)
        self.launch: Launch = self.server.launch(model)
        self.host: Host = fleet.hosts[placement.host]
        self.address = str(fleet.inside(placement.host))
        self.image = fleet.pinned(self.server.image)
        self.weights = fleet.weights_on(model, placement.host)
        self.arithmetic = model_fit.arithmetic(fleet, model, placement)
        names = dict(self.server.secret_names)
        variables = tuple((variable, fleet.secrets[name]) for variable, name in sorted(names.items()))
        self.secrets = Secrets(f"{FOLDER}/{self.name}.env", variables)

    @property
    def port(self) -> int:
        return self.placement.port or self.server.endpoint().port

    def running(self) -> Running:
        endpoint = self.server.endpoint()
        snapshot = self.fleet.snapshot(self.model)
        base = f"http://{self.address}:{self.port}"
        warm_up = None
        if endpoint.warm_up is not None:
            body = json.dumps({"model": self.model, **endpoint.warm_up.fields})
            warm_up = (f"{base}{endpoint.warm_up.path}", body)
        return Running(
            self.name,
            self.model,
            self.image,
            f"{base}{endpoint.health_path}",
            self.launch.start_seconds,
            self.launch.stop_seconds,
            None if snapshot is None else snapshot.loads_seconds,
            alone=len(self.fleet.placements[self.model]) == 1,
            warm_up=warm_up,
            arithmetic=self.arithmetic,
        )

    def volumes(self) -> tuple[str, ...]:
        return tuple(f"{self.name}-{volume}" for volume in self.launch.volumes)

    def service(self) -> Service:
        inner = self.server.endpoint().port
        return Service(
            image=self.image,
            entrypoint=self.launch.entrypoint,
            command=self.launch.command,
            user=self.launch.user,
            environment=self._environment(),
            env_file=(EnvironmentFile(path=self.secrets.path),) if self.secrets.variables else (),
            ports=(Port(target=inner, host_ip=self.address, published=str(self.port)),),
            volumes=self._mounts(),
            deploy=self._deploy(),
            read_only=self.launch.read_only or None,
            tmpfs=self.launch.temporary,
            cap_drop=("ALL",) if self.launch.confined else (),
            security_opt=("no-new-privileges:true",) if self.launch.confined else (),
            shm_size=self.launch.shared_memory,
            ulimits=self.launch.limits,
            stop_grace_period=f"{self.launch.stop_seconds}s",
            healthcheck=self._health_check() if self.launch.curl else None,
            labels=self._labels(),
        )

    def _environment(self) -> dict[str, str]:
        written = {key: value for key, value in self.server.env.items() if not isinstance(value, NamedSecret)}
        # CUDA counts the fastest GPU first, and everybody else by the slot.
        order = {} if CPU in self.placement.devices else {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        return dict(sorted({**order, **self.launch.environment, **written}.items()))

    def _mounts(self) -> tuple[Bind | Volume, ...]:
        mounts: list[Bind | Volume] = []
        if self.server.weights is not None and self.weights is not None:
            written = self.server.weights
            inner = written.path if isinstance(written, LocalWeights) else written.repo
            target = self.launch.weights_at or f"/weights/{inner}"
            mounts.append(Bind(source=self.weights, target=target, read_only=True))
        for more in self.launch.more_weights:
            source = f"{self.host.weights}/{more}"
            mounts.append(Bind(source=source, target=f"/weights/{more}", read_only=True))
        kept = sorted(self.launch.volumes.items())
        return (*mounts, *(Volume(source=f"{self.name}-{name}", target=target) for name, target in kept))

    def _deploy(self) -> Deploy | None:
        cpus, memory = self.server.cpus, self.server.memory
        limits = Limits(cpus=None if cpus is None else f"{cpus:g}", memory=memory) if cpus or memory else None
        names = tuple(
            f"nvidia.com/gpu={self.host.uuid(device)}" for device in self.placement.devices if device != CPU
        )
        devices = Reservations(devices=(Devices(device_ids=names),)) if names else None
        return Deploy(resources=Resources(limits=limits, reservations=devices)) if limits or devices else None

    def _health_check(self) -> HealthCheck:
        endpoint = self.server.endpoint()
        url = f"http://127.0.0.1:{endpoint.port}{endpoint.health_path}"
        return HealthCheck(
            test=("CMD", "curl", "-fsS", "-m", "5", url),
            interval="10s",
            timeout="6s",
            retries=6,
            start_period=f"{self.launch.start_seconds}s",
            start_interval="5s",
        )

    def _labels(self) -> dict[str, str]:
        if not self.secrets.variables:
            return {}
        # Where secrets are found, never what they are: a hash of a short secret gives it away.
        text = "\n".join(f"{name}={ref.placeholder}" for name, ref in self.secrets.variables)
        return {"stackctl.secrets": hashlib.sha256(text.encode()).hexdigest()[:16]}
