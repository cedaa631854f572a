"""A Docker Compose project, planned from Compose's own configuration hashes."""

import shlex
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.capabilities.serving import Running
from stackctl.core.artifact import Artifact
from stackctl.ops import composestate, replica, secret
from stackctl.ops.composestate import Container, Project, ProjectState, kept_file
from stackctl.ops.room import in_turn
from stackctl.ops.services import Services, difference, environment_files, services
from stackctl.ops.step import Step, changes, files_of
from stackctl.ops.trace import saw
from stackctl.ops.wording import some

PULL_SECONDS = 3600
"""A model server's image has up to 20 GB."""

UP_SECONDS = 900
"""Stopping the old containers waits for their grace period, which is minutes."""


@operation()
def project(
    project: str,
    file: Artifact,
    images: Sequence[str],
    running: Sequence[Running] = (),
    after: Sequence[Any] = (),
) -> Generator[Step, None, None]:
    """Have a project's containers as its file says: pulled, created, replaced, removed.

    `images` are pulled where the host does not have them; one pinned by digest never changes afterwards.
    Those of `running` are replaced one after another, each out of rotation, and come back as they were where they do
    not come up; others all at once. `after` names operations that write what Compose reads beside `file`: its hashes
    are then not final yet.
    """
    touched = any([changes(operation) for operation in after])
    written = frozenset(path for operation in after for path in files_of(operation))
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
    course = _Course(project, file, state, wanted, {item.service: item for item in running}, written)
    yield from course.steps(touched=touched)


def _note(project: str, wanted: Services, state: ProjectState) -> None:
    """Compose's hash is left out: it takes in the values of secrets, and another hash is another container."""
    for service in {**wanted, **(state.wanted or {})}:
        saw(f"container {project}/{service}")
    for item in state.containers:
        # One that fails is restarted again and again: which of the two it is right now is chance.
        now = "running" if item.state == "restarting" else item.state
        identity = {"id": item.id[:12]} if item.id else {}
        saw(f"container {project}/{item.service}", state=now, image=item.image, **identity)


@dataclass(frozen=True)
class _Course:
    """How the containers of one project become what is wanted."""

    project: str
    file: Artifact
    state: ProjectState
    services: Services
    running: Mapping[str, Running]
    written: frozenset[str]

    def steps(self, *, touched: bool) -> Generator[Step, None, None]:
        if self.state.wanted is None:
            yield self._bring("create the containers")
            return
        turn, circle = self._turn()
        apart = [*self._removed(circle), *(self._replaced(service) for service in turn)]
        left = [service for service in self.state.drained if service in self.found and service not in turn]
        rest = self._reasons(circle)
        if not (apart or rest) and touched:
            rest = ["compare the containers with their changed secrets"]
        yield from apart
        if apart or rest:
            # Without a reason of its own it finishes what the steps before it have begun.
            yield self._bring("; ".join(rest))
        yield from (replica.let_in(self.project, service) for service in left)

    @property
    def found(self) -> dict[str, Container]:
        return {container.service: container for container in self.state.containers}

    def _before(self, service: str) -> Mapping[str, Any]:
        return self.state.before.get(service, {})

    def _differs(self, service: str) -> bool:
        container = self.found.get(service)
        return container is not None and (
            container.hash != (self.state.wanted or {}).get(service) or self._has_new_secrets(service)
        )

    def _has_new_secrets(self, service: str) -> bool:
        return any(path in self.written for path in environment_files(self.services.get(service, {})))

    def _turn(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        changing = [name for name in self.state.wanted or {} if self._differs(name) and name in self.running]
        return in_turn(self.state.before, self.services, changing)

    def _removed(self, circle: Sequence[str]) -> Generator[Step, None, None]:
        wanted = self.state.wanted or {}
        for name, container in sorted(self.found.items()):
            if name not in wanted or name in circle:
                others = some([other for other in circle if other != name])
                why = (
                    f"remove {name}" if name not in wanted else f"remove {name}, which {others} makes way for"
                )
                yield replica.removed(self.project, name, container.id, self._before(name), why)

    def _replaced(self, service: str) -> Step:
        item = self.running[service]
        cost = replica.without(item, self.state.started.get(service))
        pair = self._before(service), self.services.get(service, {})
        return replica.replaced(self.project, self.file, item, pair, self._recreate(service), cost)

    def _reasons(self, circle: Sequence[str]) -> list[str]:
        """What Compose is left to do at once."""
        wanted, found = self.state.wanted or {}, self.found
        reasons = []
        for service in sorted(set(wanted) & set(found) - set(circle)):
            if self._differs(service):
                reasons += [] if service in self.running else [self._recreate(service)]
            elif found[service].state not in {"running", "restarting"}:
                reasons.append(f"start {service}, it is {found[service].state}")
        new = sorted({*(set(wanted) - set(found)), *circle})
        return [*reasons, *([f"create {some(new)}"] if new else [])]

    def _recreate(self, service: str) -> str:
        after, secrets = self.services.get(service, {}), self._has_new_secrets(service)
        fields = difference(self._before(service), after) if self._before(service) else ""
        if fields:
            return f"recreate {service}: {fields}{', its secrets change' if secrets else ''}"
        told = "its secrets change" if secrets else "it was made from another configuration"
        return f"recreate {service}, {told}"

    def _bring(self, reason: str) -> Step:
        return Step(
            _bring(self.project, self.file, self.services, empty=self.state.wanted == {}),
            reason=reason,
            action="add" if not self.state.containers else "change",
            seconds=UP_SECONDS,
            hint=f"read `docker compose -p {self.project} logs` on the host",
            known=self.state.wanted is not None,
        )


def _bring(project: str, file: Artifact, services_: Services, *, empty: bool) -> str:
    """Compose's command, after which a copy of its file is kept; `up` refuses a project without services."""
    # A run that was cut off may still be at it on the host: two at once end in a conflict over names.
    patiently = f"flock -w {UP_SECONDS // 2} {shlex.quote(f'/run/stackctl-{project}.lock')}"
    path = shlex.quote(file.path)
    whole = f"{patiently} docker compose -p {shlex.quote(project)} -f {path} --progress plain"
    verb = "down --remove-orphans" if empty else "up -d --remove-orphans --no-build --pull never --quiet-pull"
    if file.secrets:
        return f"{whole} {verb}"
    variables = sorted({each for service in services_.values() for each in environment_files(service)})
    return (
        _KEEP.replace("@COMPOSE@", f"{whole} {verb}")
        .replace("@FILE@", path)
        .replace("@KEPT@", shlex.quote(kept_file(project)))
        .replace("@FOLDER@", shlex.quote(composestate.KEPT))
        .replace("@PROJECT@", shlex.quote(project))
        .replace("@VARIABLES@", " ".join(shlex.quote(each) for each in variables))
    )


# The copy is of what Compose reads, not of what the file has become since. It only serves to give reasons, and to go
# back to: a full disk is none to fail. What single replicas came up with is older than it.
_KEEP = """kept=$(mkdir -p -- @FOLDER@ && chmod 700 -- @FOLDER@ &&
  find @FOLDER@ -maxdepth 1 -type f -name '.compose.??????????' -mmin +60 -delete &&
  mktemp -- @FOLDER@/.compose.XXXXXXXXXX) && cp -- @FILE@ "$kept" || kept=
@COMPOSE@ || { rc=$?; rm -f -- "$kept"; exit $rc; }
[ -z "$kept" ] || mv -fT -- "$kept" @KEPT@ || exit 0
[ -n "$kept" ] || exit 0
rm -f -- @FOLDER@/@PROJECT@.*.compose.yaml @FOLDER@/@PROJECT@.*.env
for file in @VARIABLES@; do
  [ ! -f "$file" ] || install -m 600 -- "$file" "@FOLDER@/@PROJECT@.${file##*/}" || exit 0
done
"""
