"""The part of the Compose file format that we write, in types, and its YAML."""

from collections.abc import Mapping
from typing import Any, Literal

import yaml
from pydantic import Field

from stackctl.core.model import Model


class Port(Model):
    """A container's port on one address of the host; without an address Docker would open it to everybody."""

    target: int
    """Port inside the container."""
    host_ip: str
    """Address of the host that it is bound to."""
    published: str
    """Port on that address."""
    protocol: Literal["tcp"] = "tcp"
    """Models speak HTTP."""


class BindOptions(Model):
    """How a bind mount is made."""

    create_host_path: bool = False
    """Docker would make a missing directory of weights, empty and owned by root, and start the server on it."""


class Bind(Model):
    """A directory of the host in the container."""

    type: Literal["bind"] = "bind"
    """Kind of mount."""
    source: str
    """Directory on the host."""
    target: str
    """Place in the container."""
    read_only: bool = False
    """Whether the container may not write to it."""
    bind: BindOptions = BindOptions()
    """How it is mounted."""


class Volume(Model):
    """A named volume of the project."""

    type: Literal["volume"] = "volume"
    """Kind of mount."""
    source: str
    """Name of the volume."""
    target: str
    """Place in the container."""


class EnvironmentFile(Model):
    """Variables from a file on the host."""

    path: str
    """Where the file is."""
    required: bool = False
    """A plan reads the project before an apply has written its first files."""


class HealthCheck(Model):
    """A check from inside the container."""

    test: tuple[str, ...]
    """Command, its first word `CMD`."""
    interval: str
    """Time between two checks."""
    timeout: str
    """When a check counts as failed."""
    retries: int
    """Failures in a row that make the container unhealthy."""
    start_period: str
    """Time in which failures do not count."""
    start_interval: str
    """Time between two checks until the first that passes."""


class Devices(Model):
    """GPUs by their names in the Container Device Interface, which survives `systemctl daemon-reload`."""

    driver: Literal["cdi"] = "cdi"
    """Who resolves the names."""
    device_ids: tuple[str, ...]
    """Such as `nvidia.com/gpu=GPU-...`."""
    capabilities: tuple[str, ...] = ("gpu",)
    """Compose wants one named."""


class Limits(Model):
    """What a container may take at most."""

    cpus: str | None = None
    """Processors, a number; None: all."""
    memory: str | None = None
    """Memory, such as `64G`; None: all."""


class Reservations(Model):
    """What a container has for itself."""

    devices: tuple[Devices, ...]
    """GPUs."""


class Resources(Model):
    """Compose's own nesting."""

    limits: Limits | None = None
    """What a container may take at most."""
    reservations: Reservations | None = None
    """What a container has for itself."""


class Deploy(Model):
    """Compose's own nesting."""

    resources: Resources
    """What a container has for itself, and may take at most."""


class Logging(Model):
    """Where the container's output goes."""

    driver: Literal["local"] = "local"
    """Docker's own format, which it rotates."""
    options: Mapping[str, str] = Field(default_factory=lambda: {"max-size": "20m", "max-file": "5"})
    """How much is kept."""


class Service(Model):
    """One container."""

    image: str
    """Image, by digest where it is pinned."""
    pull_policy: Literal["never"] = "never"
    """Pulling is a step of its own, before anything is stopped."""
    entrypoint: tuple[str, ...] = ()
    """Program in place of the image's own."""
    command: tuple[str, ...] = ()
    """Arguments after the entry point."""
    user: str | None = None
    """Whom it runs as."""
    environment: Mapping[str, str] = Field(default_factory=dict)
    """Variables that are no secrets."""
    env_file: tuple[EnvironmentFile, ...] = ()
    """Files with the variables that are."""
    ports: tuple[Port, ...]
    """Where it is reached."""
    volumes: tuple[Bind | Volume, ...] = ()
    """What it sees of the host, and what outlives it."""
    deploy: Deploy | None = None
    """Its GPUs, and how much of the host it may take."""
    read_only: bool | None = None
    """Whether all but its volumes is as the image has it."""
    tmpfs: tuple[str, ...] = ()
    """Places that are kept in memory."""
    cap_drop: tuple[str, ...] = ()
    """Rights of root that it goes without."""
    security_opt: tuple[str, ...] = ()
    """Further ways that are shut to it."""
    init: bool = True
    """A first process that reaps what the server leaves behind."""
    shm_size: str | None = None
    """Size of /dev/shm, through which the parts of a spread model talk."""
    ulimits: Mapping[str, int] = Field(default_factory=dict)
    """Limits of its processes, hard and soft, -1 for none."""
    restart: Literal["unless-stopped"] = "unless-stopped"
    """Back after a crash and a reboot."""
    stop_grace_period: str
    """Time between being told to stop and being killed."""
    healthcheck: HealthCheck | None = None
    """How Docker knows that the model is loaded."""
    logging: Logging = Logging()
    """Where its output goes."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Notes of ours; a change of one recreates the container."""


class Project(Model):
    """All containers of a host that are ours."""

    name: str
    """What Docker calls the project."""
    services: Mapping[str, Service]
    """Containers by name."""
    volumes: tuple[str, ...] = ()
    """Named volumes of the services."""


def service_yaml(service: Service) -> str:
    """A service in YAML: the same text for the same service, texts quoted, `$` safe from Compose."""
    fields = service.model_dump(mode="json", exclude_none=True)
    kept = {name: value for name, value in fields.items() if value not in ([], {})}
    return yaml.dump(_escaped(kept), Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)


def _escaped(value: Any) -> Any:
    """Compose replaces `$NAME` in every text of its file; `$$` is how it spells a dollar."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


class _Dumper(yaml.SafeDumper):
    """Quotes every text that is not a name, so that `on`, 12:30 and a digest are what they look like."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        """Names stay bare where YAML reads them the same."""
        node = super().represent_mapping(tag, mapping, flow_style)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.style = None
        return node

    def ignore_aliases(self, data: Any) -> bool:
        """Equal values are written out again; a reader should not have to look them up."""
        del data
        return True


_Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)
