"""Debian packages, patient with other users of apt and clear about versions and about what is missing."""

import shlex
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.core.finding import Finding, FindingsError
from stackctl.ops.question import Kind, Question, lines_by
from stackctl.ops.step import Step
from stackctl.ops.trace import saw
from stackctl.ops.wording import some

LOCK_SECONDS = 120
"""How long another process may hold apt's locks before we give up; unattended-upgrades needs about a minute."""

INSTALL_SECONDS = 3600


@dataclass(frozen=True)
class PackageState:
    """A package on a host."""

    version: str | None = None
    """What is installed; None where it is not, or only half."""
    candidate: str | None = None
    """What the host's sources would give; asked only where nothing is installed, None where they know nothing."""
    held: bool = False
    """Whether somebody told apt to leave it at its version."""


class Packages(FactBase[dict[str, PackageState]]):
    """State of packages by name; those that neither dpkg nor the sources have heard of are left out."""

    def command(self, names: Sequence[str]) -> Question:
        """Asked about all packages at once."""
        return Question(_PACKAGES, names)

    @staticmethod
    def default() -> dict[str, PackageState]:
        """Nothing known."""
        return {}

    def process(self, output: Iterable[str]) -> dict[str, PackageState]:
        """`docker.io install installed 26.1.5+dfsg1-9+b9` or `docker.io candidate 26.1.5+dfsg1-9+b9` a line."""
        found: dict[str, PackageState] = {}
        for line in output:
            name, *rest = line.split(" ")
            before = found.get(name, PackageState())
            match rest:
                case ["candidate", version] if version != "(none)":
                    found[name] = PackageState(before.version, version, before.held)
                case [want, "installed", version]:
                    found[name] = PackageState(version, None, want == "hold")
                case ["hold", _, _]:
                    found[name] = PackageState(None, before.candidate, held=True)
                case _:
                    pass
        return found


# dpkg-query exits 1 where one is unknown, and still lists the others; apt is slow and asked for the rest.
_LISTING = """dpkg=$(dpkg-query -W -f '${Package} ${db:Status-Want} ${db:Status-Status} ${Version}\\n' @NAMES@ 2>/dev/null)
printf '%s\\n' "$dpkg"
installed=$(printf '%s\\n' "$dpkg" | sed -n 's/^\\([^ ]*\\) [^ ]* installed .*/\\1/p')
missing=
for name in @NAMES@; do
  case "
$installed
" in *"
$name
"*) ;; *) missing="$missing $name" ;; esac
done
[ -z "$missing" ] || apt-cache policy $missing 2>/dev/null |
  sed -n -e '/^[^ ].*:$/{s/:$//;h;}' -e '/^  Candidate: /{s///;H;x;s/\\n/ candidate /p;}'
true
"""


def _listing(names: Sequence[str]) -> str:
    return _LISTING.replace("@NAMES@", _words(names))


def _by_package(_names: Sequence[str], output: str) -> dict[str, str]:
    return lines_by(lambda line: line.partition(" ")[0], output)


_PACKAGES = Kind(_listing, _by_package)


@operation()
def packages(names: Sequence[str], lock_seconds: int = LOCK_SECONDS) -> Generator[Step, None, None]:
    """Have these packages installed: `name=version` at exactly that version, others at any.

    A package that is missing comes at whatever version the host's sources give.
    """
    wanted = _pins(names)
    found = host.get_fact(Packages, names=sorted(wanted)) if wanted else {}
    states = {name: found.get(name, PackageState()) for name in wanted}
    for name, state in states.items():
        saw(f"package {name}", **({"version": state.version} if state.version else {}))
    missing = [name for name, state in states.items() if state.version is None]
    moved = [
        name for name, state in states.items() if state.version and wanted[name] not in {None, state.version}
    ]
    if missing or moved:
        yield Step(
            install_script(
                [f"{name}={wanted[name]}" if wanted[name] else name for name in sorted([*missing, *moved])],
                lock_seconds,
                held=[name for name in sorted([*missing, *moved]) if states[name].held and wanted[name]],
            ),
            reason="; ".join(_reasons(wanted, states, missing, moved)),
            action="change" if moved else "add",
            seconds=INSTALL_SECONDS + lock_seconds,
        )


def _pins(names: Sequence[str]) -> dict[str, str | None]:
    """Version by name, in order of names; None: any."""
    pins: dict[str, str | None] = {}
    for name, _, version in sorted(item.partition("=") for item in names):
        before = pins.get(name)
        if before and before != version:
            what = f"is pinned to {before} and to {version}"
            raise FindingsError(Finding(f"package {name}", what, "choose one of them"))
        pins[name] = version or before
    return pins


def _reasons(
    wanted: Mapping[str, str | None],
    states: Mapping[str, PackageState],
    missing: Sequence[str],
    moved: Sequence[str],
) -> list[str]:
    versions = {name: wanted[name] or states[name].candidate for name in missing}
    known = [f"{name} {version}" for name, version in versions.items() if version]
    unknown = [name for name, version in versions.items() if not version]
    changed = [
        f"{name} {states[name].version} becomes {wanted[name]}{', though held' if states[name].held else ''}"
        for name in moved
    ]
    return [
        *([f"install {some(known)}"] if known else []),
        *([f"install {some(unknown)}, at the version the sources give"] if unknown else []),
        *([some(changed)] if changed else []),
    ]


def install_script(
    names: Sequence[str], lock_seconds: int, held: Sequence[str] = (), *, downgrades: bool = False
) -> str:
    """Shell that waits for apt's locks, finishes what a killed dpkg left, refreshes stale lists, installs.

    A name with `-` behind it is removed. Only a pinned version may be older than the installed one, by a version in
    its name or, with `downgrades`, by apt's preferences. What is `held` is let go for the install alone.
    """
    return patiently(
        _INSTALL.replace("@LET_GO@", _LET_GO.replace("@HELD@", _words(held)) if held else "")
        .replace(
            "@DOWNGRADES@", " --allow-downgrades" if downgrades or any("=" in name for name in names) else ""
        )
        .replace("@NAMES@", _words(names)),
        lock_seconds,
    )


def mark_script(mark: str, names: Sequence[str], lock_seconds: int) -> str:
    """Shell that waits for dpkg's lock and marks packages, as `hold` or `unhold`."""
    return patiently(f"patiently apt-mark {mark} {_words(names)}\n", lock_seconds)


def patiently(script: str, lock_seconds: int) -> str:
    """Shell in which `patiently COMMAND` waits for apt's locks, all commands together for so many seconds."""
    return _PATIENTLY.replace("@LOCK@", str(lock_seconds)) + script


def _words(names: Sequence[str]) -> str:
    return " ".join(shlex.quote(name) for name in names)


# Held again whatever comes of the install; apt's own switch would let go of all that is held on the host.
_LET_GO = """trap 'patiently apt-mark hold @HELD@' EXIT
trap 'exit 143' HUP INT TERM
patiently apt-mark unhold @HELD@ || exit $?
"""

# apt itself waits for dpkg's lock only; the lists' lock and `dpkg --configure` fail at once, hence the loop.
_PATIENTLY = """export DEBIAN_FRONTEND=noninteractive
left=@LOCK@
patiently() {
  while :; do
    if out=$("$@" 2>&1 </dev/null); then return 0; else rc=$?; fi
    case $out in
      *'Could not get lock'*|*'Unable to lock'*|*'is locked by another process'*|*'lock-frontend'*) ;;
      *) printf '%s\\n' "$out" >&2; return "$rc" ;;
    esac
    if [ "$left" -le 0 ]; then printf '%s\\n' "$out" >&2; return 75; fi
    left=$((left - 2)); sleep 2
  done
}
"""

# Confdef and confold keep an operator's edited configuration instead of asking a terminal that is not there.
_INSTALL = """if [ -n "$(ls -A /var/lib/dpkg/updates 2>/dev/null)" ] || [ -n "$(dpkg --audit)" ]; then
  patiently dpkg --configure -a --force-confdef --force-confold || exit $?
fi
fresh=$(find /var/lib/apt/lists -maxdepth 1 -type f -name '*_Packages*' -mmin -60 2>/dev/null | head -n 1)
if [ -z "$fresh" ] || ! apt-get install --simulate@DOWNGRADES@ @NAMES@ >/dev/null 2>&1; then
  patiently apt-get update -q -o APT::Update::Error-Mode=any || exit $?
fi
@LET_GO@patiently apt-get install -q -y --no-install-recommends@DOWNGRADES@ \\
  -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold @NAMES@
"""
