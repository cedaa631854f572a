"""Weights of models: fetched by the host itself, each directory whole or not at all."""

import hashlib
import shlex
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.capabilities.weights import MANIFEST_FILE, PROGRAM_FILE, Repository, Unlocked, WeightsSpec
from stackctl.core.finding import Finding, FindingsError
from stackctl.core.size import sized
from stackctl.ops.step import TOLD, Step
from stackctl.ops.trace import saw

SLOWEST = 10_000_000
"""Bytes a second at which a fetch is still waited for."""
AT_LEAST = 900
"""Seconds that it has in any case: sources that do not answer take some."""


@dataclass(frozen=True)
class Held:
    """What a host has of the weights that it needs."""

    free: int | None = None
    """Bytes of room on their disk; None: nobody can tell."""
    whole: Mapping[str, int] = field(default_factory=dict)
    """Bytes by directory, of those that are there."""
    partial: Mapping[str, int] = field(default_factory=dict)
    """Bytes that have come already, of those that are not."""


class Weights(FactBase[Held]):
    """Which directories of weights are there, and how much room there is for the others."""

    def command(self, hub: str, paths: Sequence[str]) -> str:
        """Ask for sizes alone: to hash them all takes minutes."""
        listed = " ".join(shlex.quote(path) for path in paths)
        return _LOOK.replace("@HUB@", shlex.quote(hub)).replace("@PATHS@", listed)

    @staticmethod
    def default() -> Held:
        """Nothing."""
        return Held()

    def process(self, output: Iterable[str]) -> Held:
        """`free BYTES`, then `whole BYTES PATH` or `partial BYTES PATH` a line."""
        free = None
        found: dict[str, dict[str, int]] = {"whole": {}, "partial": {}}
        for line in output:
            tag, count, *path = line.split(" ", 2)
            if tag == "free":
                free = int(count)
            elif tag in found and path:
                found[tag][path[0]] = int(count)
        return Held(free, found["whole"], found["partial"])


_LOOK = """hub=@HUB@ there=@HUB@
while [ ! -d "$there" ]; do there=${there%/*}; there=${there:-/}; done
printf 'free %s\\n' "$(df -B1 --output=avail -- "$there" | tail -n 1 | tr -d ' ')"
sum() { find -L "$1" -type f -printf '%s\\n' | awk '{ sum += $1 } END { printf "%.0f", sum }'; }
for path in @PATHS@; do
  part=$hub/.partial${path#"$hub"}
  if [ -d "$path" ]; then printf 'whole %s %s\\n' "$(sum "$path")" "$path"
  elif [ -d "$part" ]; then printf 'partial %s %s\\n' "$(sum "$part")" "$path"; fi
done
true
"""


@operation()
def fetched(spec: WeightsSpec) -> Generator[Step, None, None]:
    """Have the weights of repositories there, as they are locked.

    A host without the room for what is missing is refused, and so is a repository without a lock, unless somebody
    else has put it there.
    """
    paths = [*(item.path for item in spec.repositories), *(item.path for item in spec.unlocked)]
    held = host.get_fact(Weights, hub=spec.hub, paths=paths) if paths else Held()
    for path in paths:
        saw(f"weights {path}", **({"bytes": str(held.whole[path])} if path in held.whole else {}))
    missing = [item for item in spec.repositories if item.path not in held.whole]
    problems = [
        *(_unlocked(item) for item in spec.unlocked if item.path not in held.whole),
        *_broken(spec.repositories, held),
        *_room(spec, missing, held),
    ]
    if problems:
        raise FindingsError(*problems)
    for item in missing:
        yield Step(
            _script(spec, item),
            reason=f"fetch {item.name} {sized(item.size)} from {_from(item)}",
            action="add",
            seconds=seconds(item.size),
            hint="the lines above are what each source said; what has come is kept, and an apply goes on with it",
        )


def seconds(size: int) -> int:
    """How long a fetch of so many bytes is waited for."""
    return AT_LEAST + size // SLOWEST


def _unlocked(item: Unlocked) -> Finding:
    what = "is not in inventory/weights.lock, so that nobody knows which files to fetch"
    return Finding(item.name, what, f"run `stackctl lock`, or put the weights in {item.path} on the host")


def _broken(repositories: Sequence[Repository], held: Held) -> list[Finding]:
    found = [(item, held.whole[item.path]) for item in repositories if item.path in held.whole]
    return [
        Finding(
            item.path,
            f"holds {sized(size)}, and {sized(item.size)} are locked",
            "move it away on the host, and apply again to fetch it",
        )
        for item, size in found
        if size < item.size
    ]


def _room(spec: WeightsSpec, missing: Sequence[Repository], held: Held) -> list[Finding]:
    needed = sum(max(item.size - held.partial.get(item.path, 0), 0) for item in missing)
    if held.free is None or needed <= held.free:
        return []
    what = f"has {sized(held.free)} of room, and {sized(needed)} of weights have yet to be fetched"
    hint = "make room, perhaps with `stackctl weights prune`, or name a larger disk in the host's `weights`"
    return [Finding(spec.root, what, hint)]


def _from(item: Repository) -> str:
    """Which of several it will be is known only once they are asked."""
    names = list(dict.fromkeys(source.name for source in item.sources))
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else "".join(names)


def _script(spec: WeightsSpec, item: Repository) -> str:
    identity = hashlib.sha256(item.path.encode()).hexdigest()[:16]
    values = {
        "@UNIT@": f"stackctl-fetch-{identity}.service",
        "@REPORT@": f"fetch-{identity}",
        "@HUB@": shlex.quote(spec.hub),
        "@TARGET@": shlex.quote(item.path),
        "@MANIFEST@": MANIFEST_FILE,
        "@PROGRAM@": PROGRAM_FILE,
        "@WHAT@": shlex.quote(f"Fetch the weights of {item.name}"),
        "@TOLD@": str(TOLD),
    }
    script = _FETCH
    for mark, value in values.items():
        script = script.replace(mark, value)
    return script


# In a unit of its own the fetch goes on when the connection breaks, or the operator's machine; whoever comes next
# finds it running and waits along. All that it may write to is the weights' disk and its report.
_FETCH = """report=$STACKCTL_RUN/weights/@REPORT@
mkdir -p -- @HUB@ && mkdir -p -m 700 -- "$STACKCTL_RUN/weights" || exit $?
[ ! -d @TARGET@ ] || exit 0
if ! systemctl is-active -q @UNIT@; then
  rm -f -- "$report"
  systemd-run -q --collect --unit=@UNIT@ --description=@WHAT@ -p Type=exec -p Nice=10 -p IOWeight=20 \\
    -p ProtectSystem=strict -p ReadWritePaths=@HUB@ -p ReadWritePaths="$STACKCTL_RUN/weights" \\
    -p ProtectHome=read-only -p PrivateTmp=yes -p PrivateDevices=yes -p NoNewPrivileges=yes \\
    -p RestrictAddressFamilies='AF_UNIX AF_INET AF_INET6' \\
    -p CapabilityBoundingSet='CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH' \\
    sh @PROGRAM@ @MANIFEST@ @TARGET@ "$report" || systemctl is-active -q @UNIT@ || exit $?
fi
while systemctl is-active -q @UNIT@; do
  kill -0 "${STACKCTL_SESSION:-1}" 2>/dev/null || { echo "nobody waits for it any more, and it goes on" >&2; exit @TOLD@; }
  sleep 1
done
[ ! -d @TARGET@ ] || exit 0
if [ -s "$report" ]; then cat -- "$report" >&2; else echo "the fetch was ended from outside" >&2; fi
exit @TOLD@
"""
