"""What a Docker Compose project wants, what of it runs, and what the host keeps of its replicas."""

import base64
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pyinfra.api import FactBase

from stackctl.core import drain
from stackctl.ops.services import Services, services

KEPT = "/var/lib/stackctl"
"""Folder with the compose file that each project was last brought up from, the variables of then, and start-up times.

A replica that came up in a run which did not end well has a file of its own beside its project's.
"""

DRAINS = drain.FOLDER


@dataclass(frozen=True)
class Container:
    """One container of a project as Docker labels it."""

    service: str
    hash: str
    state: str
    image: str
    id: str = ""
    """Another container has another one, be it of the same configuration."""


@dataclass(frozen=True)
class ProjectState:
    """What a project's file wants and what runs; `wanted` is None where there is no Docker to ask."""

    wanted: dict[str, str] | None
    """Configuration hash by service, of the file as it will be."""
    containers: tuple[Container, ...]
    absent: tuple[str, ...]
    """Images the host does not have."""
    before: Services = field(default_factory=dict)
    """Services as they were last brought up, where that is not as the file wants them."""
    drained: tuple[str, ...] = ()
    """Services that gateways are told to send nothing to."""
    started: Mapping[str, int] = field(default_factory=dict)
    """Seconds that a service's last start took until it answered."""


class Project(FactBase[ProjectState]):
    """Compare a compose file, given as text and not yet on the host, with the host's containers."""

    def command(self, project: str, file: str, text: str, images: Sequence[str]) -> str:
        """Hash the wanted file by Compose itself; `-` reads it from standard input."""
        name = shlex.quote(project)
        folder = shlex.quote(file.rsplit("/", 1)[0])
        listed = " ".join(shlex.quote(image) for image in images)
        encoded = base64.b64encode(text.encode()).decode()
        compose = f"docker compose -p {name} --project-directory {folder} -f - config"
        # Compose 2.26 hashes without the variables of these files, but labels its containers with them.
        whole = f"{compose} | {compose}" if "env_file" in text else compose
        return _PROJECT.format(
            text=encoded,
            config=whole,
            name=name,
            images=listed,
            kept=shlex.quote(kept_file(project)),
            folder=shlex.quote(KEPT),
            drains=shlex.quote(DRAINS),
        )

    @staticmethod
    def default() -> ProjectState:
        """No Docker."""
        return ProjectState(None, (), ())

    def process(self, output: Iterable[str]) -> ProjectState:
        """Tagged lines, as the script below prints them."""
        told: dict[str, list[str]] = {}
        for line in output:
            tag, _, rest = line.partition(" ")
            told.setdefault(tag, []).append(rest)
        if "nodocker" in told:
            return self.default()
        before: dict[str, Mapping[str, object]] = {}
        for text in told.get("kept", ()):
            before.update(services(_decoded(text)))
        for service, text in _pairs(told.get("came", ())):
            before.update({name: each for name, each in services(_decoded(text)).items() if name == service})
        return ProjectState(
            dict(_pairs(told.get("wanted", ()))),
            tuple(Container(*json.loads(text)) for text in told.get("container", ()) if text),
            tuple(told.get("absent", ())),
            before,
            tuple(told.get("drained", ())),
            {service: int(text) for service, text in _pairs(told.get("started", ())) if text.isdigit()},
        )


def kept_file(project: str) -> str:
    """Where the compose file that the whole project was last brought up from is."""
    return f"{KEPT}/{project}.compose.yaml"


def _pairs(lines: Iterable[str]) -> list[tuple[str, str]]:
    parts = (line.partition(" ") for line in lines if line)
    return [(name, rest.strip()) for name, _, rest in parts]


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")


# What somebody once ran with `docker compose run` is none of the project's own containers.
# The folder is made known by name alone: Compose resolves relative paths against it and need not find it.
_PROJECT = """command -v docker >/dev/null && docker compose version >/dev/null 2>&1 || {{ echo nodocker; exit 0; }}
docker info >/dev/null 2>&1 || {{ echo nodocker; exit 0; }}
set -e
text={text}
hashes=$(echo $text | base64 -d | {config} --hash '*')
printf '%s\\n' "$hashes" | sed 's/^/wanted /'
docker ps -a --no-trunc --filter label=com.docker.compose.project={name} \
--filter label=com.docker.compose.oneoff=False --format \
'container ["{{{{.Label "com.docker.compose.service"}}}}","{{{{.Label "com.docker.compose.config-hash"}}}}","{{{{.State}}}}","{{{{.Image}}}}","{{{{.ID}}}}"]'
for image in {images}; do docker image inspect "$image" >/dev/null 2>&1 || printf 'absent %s\\n' "$image"; done
[ ! -f {kept} ] || echo $text | base64 -d | cmp -s - {kept} || printf 'kept %s\\n' "$(base64 -w0 {kept})"
of() {{ service=${{1##*/}}; service=${{service#{name}.}}; service=${{service%"$2"}}; [ -f "$1" ]; }}
for f in {folder}/{name}.*.compose.yaml; do
  ! of "$f" .compose.yaml || printf 'came %s %s\\n' "$service" "$(base64 -w0 "$f")"
done
for f in {folder}/{name}.*.seconds; do ! of "$f" .seconds || printf 'started %s %s\\n' "$service" "$(cat "$f")"; done
for f in {drains}/*; do [ ! -f "$f" ] || printf 'drained %s\\n' "${{f##*/}}"; done
"""
