"""What other ways of installing the driver left on a host."""

import shlex
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.core.finding import Finding, FindingsError
from stackctl.nvidia.repositories import retired
from stackctl.ops.apt import LOCK_SECONDS, patiently
from stackctl.ops.step import Step

WAY_OUT = "remove it on the host, or have it removed: `driver: {leftovers: remove}`"

SECONDS = 1800

Kind = Literal["runfile", "toolkit", "list", "key", "package"]


@dataclass(frozen=True)
class Leftover:
    """Something that was found; `who` says of a package who made it, of a list what it asks."""

    kind: Kind
    what: str
    """A path, a fingerprint or a package's name."""
    who: str = ""


class Leftovers(FactBase[tuple[Leftover, ...]]):
    """Installers, lists, keys and packages that have to do with NVIDIA's driver, ours among them."""

    def command(self, root: str = "") -> str:
        """Asked of the host's own files and of dpkg; a key of `apt-key` without gpg by its bytes."""
        keys = " ".join(retired())
        return _LOOK.replace("@ROOT@", shlex.quote(root)).replace("@RETIRED@", keys)

    @staticmethod
    def default() -> tuple[Leftover, ...]:
        """Nothing."""
        return ()

    def process(self, output: Iterable[str]) -> tuple[Leftover, ...]:
        """`KIND WHAT WHO` a line, with tabs between."""
        kinds: dict[str, Kind] = {kind: kind for kind in _ORDER}
        rows = (line.split("\t") for line in output)
        return tuple(
            Leftover(kinds[row[0]], row[1], row[2]) for row in rows if row[0] in kinds and len(row) == 3
        )


_COMMON = frozenset(
    {
        "nvidia-support",
        "nvidia-installer-cleanup",
        "nvidia-kernel-common",
        "glx-alternative-nvidia",
        "nvidia-egl-common",
    }
)
"""Of Debian's contrib and main; NVIDIA's own packages for Debian rest on some of them."""

_BESIDE = (
    "nvidia-container",
    "libnvidia-container",
    "nvidia-cuda",
    "libnvidia-ml-dev",
    "libnvidia-egl-",
    "nvidia-detect",
    "nvidia-mig",
    "nvidia-prim",
    "nvidia-vaapi",
    "firmware-nvidia-graphics",
)
"""Beginnings of names that are no part of a driver; the last is the firmware of nouveau."""

_ORDER: tuple[Kind, ...] = ("runfile", "toolkit", "package", "list", "key")
"""As they are removed: an uninstaller restores libraries that a package may then take away."""

# A binary key holds its fingerprint nowhere; what it does hold is found by gpg, which only hosts that had such keys
# are sure to have. The user id's word is in the bytes of every key of NVIDIA's.
_LOOK = """root=@ROOT@
if [ -e "$root/usr/bin/nvidia-uninstall" ]; then printf 'runfile\\t%s\\t\\n' "$root/usr/bin/nvidia-uninstall"
elif [ -e "$root/usr/bin/nvidia-installer" ]; then printf 'runfile\\t%s\\t\\n' "$root/usr/bin/nvidia-installer"
elif [ -e "$root/var/lib/nvidia/log" ]; then printf 'runfile\\t%s\\t\\n' "$root/var/lib/nvidia/log"; fi
for f in "$root"/usr/local/cuda-*/bin/cuda-uninstaller; do
  [ ! -e "$f" ] || printf 'toolkit\\t%s\\t\\n' "$f"
done
for f in "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*.list "$root"/etc/apt/sources.list.d/*.sources; do
  [ -f "$f" ] || continue
  urls=$(grep -hv '^[[:space:]]*#' -- "$f" | grep -oE \\
    '(developer\\.download\\.nvidia\\.com/compute/(cuda|machine-learning)|nvidia\\.github\\.io/(libnvidia-container|nvidia-docker|nvidia-container-runtime)|[a-z./]*graphics-drivers/ppa)[^ ]*|file:[^ ]*/(nvidia-driver-local|cuda-repo)[^ ]*' |
    sort -u | tr '\\n' ' ')
  [ -z "$urls" ] || printf 'list\\t%s\\t%s\\n' "$f" "${urls% }"
done
for f in "$root"/etc/apt/trusted.gpg "$root"/etc/apt/trusted.gpg.d/*.gpg "$root"/etc/apt/trusted.gpg.d/*.asc; do
  [ -f "$f" ] || continue
  if command -v gpg >/dev/null; then
    home=$(mktemp -d) || continue
    for k in $(GNUPGHOME=$home gpg --batch --quiet --show-keys --with-colons -- "$f" 2>/dev/null | awk -F: '
        $1 == "pub" { if (ours) print key; key = ""; ours = 0 }
        $1 == "fpr" && !key { key = $10; if (index(" @RETIRED@ ", " " key " ")) ours = 1 }
        $1 == "uid" && tolower($10) ~ /nvidia|launchpad ppa for graphics drivers/ { ours = 1 }
        END { if (ours) print key }'); do
      printf 'key\\t%s\\t%s\\n' "$f" "$k"
    done
    rm -rf -- "$home"
  elif grep -aqi '@nvidia\\.com' -- "$f"; then printf 'key\\t%s\\t\\n' "$f"; fi
done
dpkg-query ${root:+--admindir="$root/var/lib/dpkg"} -W \\
  -f 'package\\t${Package}\\t${db:Status-Status} ${Version} ${Maintainer}\\n' \\
  '*nvidia*' 'libcuda1*' 'libcudadebugger1*' 'cuda-drivers*' 'cuda' 'cuda-keyring' 'cuda-compat-*' 2>/dev/null |
  awk -F'\\t' '$3 ~ /^(installed|half-|unpacked|triggers-)/'
true
"""


@operation()
def leftovers(
    spec_source: Literal["nvidia", "distribution", "existing", "none"],
    remove: bool,
    ours: Sequence[str],
    root: str = "",
) -> Generator[Step, None, None]:
    """Refuse a host on which another way of installing the driver left something, or remove that.

    `ours` are packages and stems of source lists that are as they should be; `root` is where the host's files
    begin. A host whose driver is somebody else's is let be.
    """
    if spec_source == "existing":
        return
    found = host.get_fact(Leftovers, root=root)
    left = [trace for trace in found if _strange(trace, spec_source, frozenset(ours))]
    if left and not remove:
        raise FindingsError(*(Finding(_where(trace), _what(trace), WAY_OUT) for trace in left))
    for kind in _ORDER:
        these = [trace for trace in left if trace.kind == kind]
        if these:
            yield Step(
                _removal(kind, these, root),
                reason=f"remove {', '.join(_thing(trace) for trace in these)}",
                action="remove",
                seconds=SECONDS,
            )


def _strange(trace: Leftover, source: str, ours: frozenset[str]) -> bool:
    if trace.kind == "list":
        return trace.what.rpartition("/")[2].rpartition(".")[0] not in ours
    if trace.kind == "package":
        return trace.what not in ours and not _apart(trace.what) and _maker(trace) != source
    return True


def _apart(package: str) -> bool:
    """Whether a package goes with any driver: the container toolkit, tools to look, what Debian has for both."""
    return package in _COMMON or package.startswith(_BESIDE)


def _maker(trace: Leftover) -> str:
    """Whose package it is, by its maintainer; a PPA's are called Ubuntu's and told by their version."""
    _, _, rest = trace.who.partition(" ")
    version, _, maintainer = rest.partition(" ")
    if trace.what == "cuda-keyring" or "~gpu" in version:
        return "another"
    return "nvidia" if "@nvidia.com" in maintainer.lower() else "distribution"


def _where(trace: Leftover) -> str:
    return f"package {trace.what}" if trace.kind == "package" else trace.what


def _what(trace: Leftover) -> str:
    if trace.kind == "package":
        version, _, maintainer = trace.who.partition(" ")[2].partition(" ")
        return f"version {version} is not of the source that the inventory wants, but by {maintainer}"
    return {
        "runfile": "is of a driver that NVIDIA's installer put there, past apt",
        "toolkit": "is of a CUDA toolkit that NVIDIA's installer put there, past apt",
        "list": f"has apt ask {trace.who} as well",
        "key": f"has apt trust key {trace.who or 'of NVIDIA'} for every repository",
    }[trace.kind]


def _thing(trace: Leftover) -> str:
    return f"key {trace.who} from {trace.what}" if trace.kind == "key" else trace.what


def _removal(kind: Kind, traces: Sequence[Leftover], root: str) -> str:
    paths = [shlex.quote(trace.what) for trace in traces]
    if kind == "runfile":
        return _UNINSTALL.replace("@ROOT@", shlex.quote(root))
    if kind == "toolkit":
        return "\n".join(f"{path} --silent </dev/null || exit $?; rm -f -- {path}" for path in paths)
    if kind == "package":
        # apt's own switch for holds: these are to go whatever keeps them.
        purge = "patiently apt-get purge -q -y --allow-change-held-packages"
        return patiently(f"{purge} {' '.join(paths)}\n", LOCK_SECONDS)
    if kind == "list":
        return _UNLIST.replace("@PATHS@", " ".join(paths))
    return "set -e\n" + "\n".join(_forget(trace) for trace in traces)


def _forget(trace: Leftover) -> str:
    """A ring of many keys loses one; a file that holds nothing else goes."""
    path, key = shlex.quote(trace.what), shlex.quote(trace.who)
    if not trace.who or trace.what.endswith(".asc"):
        return f"rm -f -- {path}"
    return _FORGET.replace("@PATH@", path).replace("@KEY@", key)


_UNINSTALL = """root=@ROOT@
if [ -x "$root/usr/bin/nvidia-uninstall" ]; then "$root/usr/bin/nvidia-uninstall" --silent </dev/null || exit $?
elif [ -x "$root/usr/bin/nvidia-installer" ]; then "$root/usr/bin/nvidia-installer" --uninstall --silent </dev/null || exit $?
else
  printf '%s\\n' 'its uninstaller is gone: run the same NVIDIA-Linux-….run with --uninstall on the host, then remove /var/lib/nvidia/log' >&2
  exit 70
fi
rm -f -- "$root/usr/bin/nvidia-uninstall" "$root/usr/bin/nvidia-installer" "$root/var/lib/nvidia/log"
"""

# A list of NVIDIA's goes; from a list of others only its lines go, and a deb822 file of others is left to people.
_UNLIST = """mixed=
for f in @PATHS@; do
  [ -e "$f" ] || continue
  case $f in
    *.list|*/sources.list)
      sed -i -E '/^[[:space:]]*[^#].*(developer\\.download\\.nvidia\\.com|nvidia\\.github\\.io|graphics-drivers\\/ppa|file:[^ ]*\\/(nvidia-driver-local|cuda-repo))/d' -- "$f" || exit $?
      case $f in */sources.list) ;; *) grep -q '^[[:space:]]*[^#[:space:]]' -- "$f" || rm -f -- "$f" ;; esac ;;
    *) if grep -i '^URIs:' -- "$f" | grep -qvE 'nvidia|graphics-drivers'; then mixed="$mixed $f"
      else rm -f -- "$f" || exit $?; fi ;;
  esac
done
[ -z "$mixed" ] || { printf '%s\\n' "there are repositories of others in$mixed too: take NVIDIA's paragraph out by hand" >&2; exit 70; }
"""

_FORGET = """home=$(mktemp -d) || exit 1
export GNUPGHOME=$home
gpg --batch --quiet --import @PATH@ 2>/dev/null
gpg --batch --quiet --yes --delete-keys @KEY@ || exit $?
gpg --batch --export >"$home/left" || exit $?
if [ -s "$home/left" ]; then cat "$home/left" >@PATH@.new && chmod 644 @PATH@.new && mv -fT -- @PATH@.new @PATH@
else rm -f -- @PATH@; fi || exit $?
rm -rf -- "$home"
"""
