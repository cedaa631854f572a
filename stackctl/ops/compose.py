"""A Docker Compose project, planned from Compose's own configuration hashes."""

import base64
import json
import shlex
from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.core.artifact import Artifact
from stackctl.ops import secret
from stackctl.ops.services import Services, difference, environment_files, services
from stackctl.ops.step import TOLD, Step, changes, files_of
from stackctl.ops.trace import saw
from stackctl.ops.wording import some

KEPT = "/var/lib/stackctl"
"""Folder with the compose file that each project was last brought up from."""

PULL_SECONDS = 3600
"""A model server's image has up to 20 GB."""

UP_SECONDS = 900
"""Stopping the old containers waits for their grace period, which is minutes."""


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
    kept: str | None = None
    """The compose file that the project was last brought up from, where it is not the wanted one."""


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
        return _PROJECT.format(text=encoded, config=whole, name=name, images=listed, kept=_kept(project))

    @staticmethod
    def default() -> ProjectState:
        """No Docker."""
        return ProjectState(None, (), ())

    def process(self, output: Iterable[str]) -> ProjectState:
        """Tagged lines: `wanted SERVICE HASH`, `container JSON`, `absent IMAGE`, `kept BASE64`, `nodocker`."""
        wanted: dict[str, str] = {}
        kept = None
        containers = []
        absent = []
        for line in output:
            tag, _, rest = line.partition(" ")
            if tag == "nodocker":
                return self.default()
            if tag == "wanted" and rest:
                service, _, value = rest.partition(" ")
                wanted[service] = value.strip()
            if tag == "container" and rest:
                containers.append(Container(*json.loads(rest)))
            if tag == "absent":
                absent.append(rest)
            if tag == "kept":
                kept = base64.b64decode(rest).decode(errors="replace")
        return ProjectState(wanted, tuple(containers), tuple(absent), kept)


def _kept(project: str) -> str:
    return shlex.quote(f"{KEPT}/{project}.compose.yaml")


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
"""


@operation()
def project(
    project: str, file: Artifact, images: Sequence[str], after: Sequence[Any] = ()
) -> Generator[Step, None, None]:
    """Have a project's containers as its file says: pulled, created, recreated, removed.

    `images` are pulled where the host does not have them; one pinned by digest never changes afterwards.
    `after` names operations that write what Compose reads beside `file`: its hashes are then not final yet.
    """
    touched = any([changes(operation) for operation in after])
    written = {path for operation in after for path in files_of(operation)}
    text = secret.reveal(file).decode()
    state = host.get_fact(Project, project=project, file=file.path, text=text, images=tuple(images))
    wanted = services(file.content)
    _note(project, wanted, state)
    known = state.wanted is not None
    for image in images if state.wanted is None else state.absent:
        yield Step(
            f"docker pull -q -- {shlex.quote(image)}",
            reason=f"pull {image}",
            action="add",
            seconds=PULL_SECONDS,
            hint="check the image's name and that this host reaches its registry",
            known=known,
        )
    reasons = _reasons(state, wanted, written) if known else ["create the containers"]
    if not reasons and touched:
        reasons = ["compare the containers with their changed secrets"]
    if reasons:
        yield Step(
            _bring(project, file, state),
            reason="; ".join(reasons),
            action="add" if not state.containers else "change",
            seconds=UP_SECONDS,
            hint=f"read `docker compose -p {project} logs` on the host",
            known=known,
        )


def _note(project: str, wanted: Services, state: ProjectState) -> None:
    """Compose's hash is left out: it takes in the values of secrets, and another hash is another container."""
    for service in {**wanted, **(state.wanted or {})}:
        saw(f"container {project}/{service}")
    for item in state.containers:
        # One that fails is restarted again and again: which of the two it is right now is chance.
        now = "running" if item.state == "restarting" else item.state
        identity = {"id": item.id[:12]} if item.id else {}
        saw(f"container {project}/{item.service}", state=now, image=item.image, **identity)


def _bring(project: str, file: Artifact, state: ProjectState) -> str:
    """Compose's command, after which a copy of its file is kept; `up` refuses a project without services."""
    # A run that was cut off may still be at it on the host: two at once end in a conflict over names.
    patiently = f"flock -w {UP_SECONDS // 2} {shlex.quote(f'/run/stackctl-{project}.lock')}"
    path = shlex.quote(file.path)
    whole = f"{patiently} docker compose -p {shlex.quote(project)} -f {path} --progress plain"
    verb = (
        "down --remove-orphans"
        if state.wanted == {}
        else "up -d --remove-orphans --no-build --pull never --quiet-pull"
    )
    if file.secrets:
        return f"{whole} {verb}"
    return (
        _KEEP.replace("@COMPOSE@", f"{whole} {verb}")
        .replace("@FILE@", path)
        .replace("@KEPT@", _kept(project))
        .replace("@FOLDER@", shlex.quote(KEPT))
    )


# The copy is of what Compose reads, not of what the file has become since. It only serves to give reasons:
# a full disk is none to fail.
_KEEP = """kept=$(mkdir -p -- @FOLDER@ && chmod 700 -- @FOLDER@ &&
  find @FOLDER@ -maxdepth 1 -type f -name '.compose.??????????' -mmin +60 -delete &&
  mktemp -- @FOLDER@/.compose.XXXXXXXXXX) && cp -- @FILE@ "$kept" || kept=
@COMPOSE@ || { rc=$?; rm -f -- "$kept"; exit $rc; }
[ -z "$kept" ] || mv -fT -- "$kept" @KEPT@
"""


def _reasons(state: ProjectState, services_: Services, written: Collection[str]) -> list[str]:
    wanted = state.wanted or {}
    found = {container.service: container for container in state.containers}
    before = services(state.kept)
    reasons = []
    for service, wanted_hash in sorted(wanted.items()):
        container = found.get(service)
        after = services_.get(service, {})
        secrets = any(path in written for path in environment_files(after))
        if container is None:
            continue
        if container.hash != wanted_hash or secrets:
            fields = difference(before[service], after) if service in before else ""
            reasons.append(_recreate(service, fields, secrets=secrets))
        elif container.state not in {"running", "restarting"}:
            reasons.append(f"start {service}, it is {container.state}")
    new, old = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    return [*reasons, *([f"create {some(new)}"] if new else []), *([f"remove {some(old)}"] if old else [])]


def _recreate(service: str, fields: str, *, secrets: bool) -> str:
    if fields:
        return f"recreate {service}: {fields}{', its secrets change' if secrets else ''}"
    return (
        f"recreate {service}, {'its secrets change' if secrets else 'it was made from another configuration'}"
    )


class Answers(FactBase[bool]):
    """Whether a URL answers 2xx to the host itself."""

    def command(self, url: str) -> str:
        """Curl's own exit codes do not matter here; no curl counts as no answer."""
        return f"curl -fsS -m 5 -o /dev/null -- {shlex.quote(url)} 2>/dev/null && echo yes || echo no"

    @staticmethod
    def default() -> bool:
        """Not asked."""
        return False

    def process(self, output: Iterable[str]) -> bool:
        """`yes` or `no`."""
        return list(output) == ["yes"]


@operation()
def answering(
    project: str, service: str, url: str, seconds: int, after: Sequence[Any] = ()
) -> Generator[Step, None, None]:
    """Wait until a service of the project answers 2xx at `url`; show its last log lines when it does not."""
    touched = any([changes(operation) for operation in after])
    if touched or not host.get_fact(Answers, url=url):
        yield Step(
            _WAIT.format(
                url=shlex.quote(url),
                project=shlex.quote(project),
                service=shlex.quote(service),
                seconds=seconds,
                told=TOLD,
            ),
            reason=f"wait until {service} answers at {url}",
            action="run",
            seconds=seconds + 60,
            hint="the lines above are the container's errors and its last; mend its arguments or image and apply again",
        )


# Three restarts are a crash loop: waiting longer would only hide it; restarts of long ago are none. The time is
# the kernel's since boot: a wall clock may jump, and a look at a server that hangs takes seconds by itself, so
# that counting looks would run into the step's own limit and show no log. A server's first error is often
# hundreds of lines above its last: errors are shown before the last lines.
_WAIT = """now() {{ cut -d. -f1 /proc/uptime; }}
end=$(($(now) + {seconds})) before=
while :; do
  curl -fsS -m 5 -o /dev/null -- {url} 2>/dev/null && exit 0
  id=$(docker compose -p {project} ps -aq -- {service} 2>/dev/null | head -n 1)
  [ -n "$id" ] || {{ echo "there is no container of {service}" >&2; exit {told}; }}
  restarts=$(docker inspect -f '{{{{.RestartCount}}}}' "$id")
  [ "$((restarts - ${{before:=$restarts}}))" -lt 3 ] || break
  [ "$restarts" -lt 3 ] || [ "$(docker inspect -f '{{{{.State.Status}}}}' "$id")" != restarting ] || break
  [ "$(now)" -lt "$end" ] || break
  kill -0 "${{STACKCTL_SESSION:-1}}" 2>/dev/null || {{ echo "nobody waits for {service} any more" >&2; exit {told}; }}
  sleep 1
done
echo "{service} is $(docker inspect -f '{{{{.State.Status}}}}' "$id"), restarted $restarts times" >&2
logs() {{ docker logs --tail 500 "$id" 2>&1; }}
logs | grep -aE '(Error|Exception|panic|fatal): ' | awk '!seen[$0]++' | tail -n 5 >&2
logs | tail -n 15 >&2
exit {told}
"""
