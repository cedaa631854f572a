"""What is in a host's directory of fetched weights, who uses it, and how it is removed; pure."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stackctl.core.finding import Finding
from stackctl.schema.fleet import Fleet

SOCKET = "/run/docker.sock"
"""Where the container engine is asked; without it there are no containers."""

# Sizes are those of the files, not of the blocks, as a lock has them.
_LOOK = r"""cd @HUB@ 2>/dev/null || exit 0
printf 'free\t%s\n' "$(df -B1 --output=avail -- . | tail -n 1 | tr -d ' ')"
tell() { while IFS= read -r d; do
  printf '%s\t%s\t%s\n' "$1" "$(find -L "$d" -type f -printf '%s\n' | awk '{ s += $1 } END { printf "%.0f", s }')" "$d"
done; }
find * -mindepth 2 -maxdepth 2 -type d 2>/dev/null | sort | tell whole
[ ! -d .partial ] || find .partial -mindepth 3 -maxdepth 3 -type d | sort | tell partial
[ ! -S @SOCKET@ ] || docker ps -q | xargs -r docker inspect \
  --format '{{range .Mounts}}mount{{"\t"}}{{$.Name}}{{"\t"}}{{.Source}}{{"\n"}}{{end}}' 2>/dev/null
true
"""

# What is in use is asked once more, and nobody may be at work on the host meanwhile. First it is renamed, so that no
# server ever finds half of it; then it is deleted by whoever has the time.
_REMOVE = r"""mkdir -p -m 700 -- "$STACKCTL_RUN" && exec 8<>"$STACKCTL_RUN/lock" && flock -n 8 ||
  { echo 'somebody is at work on this host' >&2; exit 1; }
cd @HUB@ || exit 1
used=$([ ! -S @SOCKET@ ] || { ids=$(docker ps -q) && { [ -z "$ids" ] || docker inspect \
  --format '{{range .Mounts}}{{println .Source}}{{end}}' -- $ids; }; }) ||
  { echo 'the container engine does not tell what its containers use' >&2; exit 1; }
for d in @DIRECTORIES@; do
  if printf '%s\n' "$used" | grep -qxF -- @HUB@"/$d"; then echo "$d is used by a container by now" >&2; continue; fi
  case $d in .partial/*)
    exec 7>"$d.lock"; flock -n 7 || { echo "$d is being fetched" >&2; continue; }
    rm -f -- "$d.lock" ;;
  esac
  gone=.partial/.gone/$(date +%s%N)/0
  mkdir -p -- "$gone" && mv -T -- "$d" "$gone/0" && printf 'removed\t%s\n' "$d"
  rmdir --ignore-fail-on-non-empty -p -- "${d%/*}" 2>/dev/null
done
[ ! -d .partial/.gone ] || systemd-run -q --collect --description='Delete weights that nobody uses' \
  rm -rf -- @HUB@/.partial/.gone 2>/dev/null || rm -rf -- .partial/.gone
"""


@dataclass(frozen=True)
class Kept:
    """One directory of fetched weights on a host."""

    path: str
    """Below the host's `hub`: `OWNER/NAME/COMMIT`."""
    size: int
    """Bytes of what is there."""
    wanted: int | None
    """Bytes that it is to have, where the inventory has models on it and the lock knows."""
    whole: bool
    """False while it is being fetched, or where a fetch was given up."""
    models: tuple[str, ...]
    """Models of the inventory that are placed on the host with it."""
    containers: tuple[str, ...]
    """Running containers that have it, whatever the inventory says."""

    @property
    def used(self) -> bool:
        """Whether a model or a container needs it."""
        return bool(self.models or self.containers)

    @property
    def place(self) -> str:
        """Where it is below the `hub`."""
        return self.path if self.whole else f".partial/{self.path}"


@dataclass(frozen=True)
class HostWeights:
    """What one host keeps."""

    host: str
    hub: str
    free: int | None
    """Bytes of room beside it; None: there is nothing yet."""
    kept: tuple[Kept, ...]

    @property
    def unused(self) -> tuple[Kept, ...]:
        """What nobody needs."""
        return tuple(item for item in self.kept if not item.used)


def hub(fleet: Fleet, host: str) -> str:
    """The directory of all that a host fetches."""
    return f"{fleet.hosts[host].weights}/hub"


def look(fleet: Fleet, host: str) -> str:
    """Shell that tells what is there; it changes nothing."""
    return _LOOK.replace("@HUB@", shlex.quote(hub(fleet, host))).replace("@SOCKET@", shlex.quote(SOCKET))


def remove(weights: HostWeights) -> str:
    """Shell that removes what nobody needs, and tells what it has removed."""
    listed = " ".join(shlex.quote(item.place) for item in weights.unused)
    return (
        _REMOVE.replace("@HUB@", shlex.quote(weights.hub))
        .replace("@DIRECTORIES@", listed)
        .replace("@SOCKET@", shlex.quote(SOCKET))
    )


def read(fleet: Fleet, host: str, text: str) -> HostWeights:
    """What the host has told, and who needs it; directories in order of their names."""
    rows = [line.split("\t") for line in text.splitlines()]
    free = next((int(row[1]) for row in rows if row[0] == "free"), None)
    mounts = [(row[1].removeprefix("/"), row[2]) for row in rows if row[0] == "mount" and len(row) == 3]
    told = [(row[0], int(row[1]), row[2]) for row in rows if row[0] in {"whole", "partial"} and len(row) == 3]
    kept = (_kept(fleet, host, tag == "whole", size, path, mounts) for tag, size, path in told)
    return HostWeights(host, hub(fleet, host), free, tuple(sorted(kept, key=lambda item: item.path)))


def removed(text: str) -> frozenset[str]:
    """Places below the `hub` that a host says it has removed."""
    return frozenset(line.partition("\t")[2] for line in text.splitlines() if line.startswith("removed\t"))


def kept_on(host: str, said: str) -> Iterator[Finding]:
    """Why a host has not removed something."""
    for line in said.splitlines():
        yield Finding(f"{host} · weights", line, "look again with `stackctl weights list`")


def _kept(
    fleet: Fleet, host: str, whole: bool, size: int, path: str, mounts: Sequence[tuple[str, str]]
) -> Kept:
    directory = path if whole else path.removeprefix(".partial/")
    full = f"{hub(fleet, host)}/{directory}"
    models = tuple(
        dict.fromkeys(model for model, _ in fleet.on(host) if fleet.weights_on(model, host) == full)
    )
    snapshots = [snapshot for model in models if (snapshot := fleet.snapshot(model)) is not None]
    containers = {name for name, source in mounts if _within(source, full) or _within(full, source)}
    return Kept(
        directory, size, snapshots[0].size if snapshots else None, whole, models, tuple(sorted(containers))
    )


def _within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}/")
