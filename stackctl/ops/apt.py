"""Debian packages, patient with other users of apt and clear about what is missing."""

import shlex
from collections.abc import Generator, Iterable, Sequence

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.ops.step import Step

LOCK_SECONDS = 120
"""How long another process may hold apt's locks before we give up; unattended-upgrades needs about a minute."""

INSTALL_SECONDS = 3600


class Packages(FactBase[dict[str, str]]):
    """Installed versions by package name; packages that are not fully installed are left out."""

    def command(self, names: Sequence[str]) -> str:
        """dpkg-query exits 1 where one is unknown, and still lists the others."""
        listed = " ".join(shlex.quote(name) for name in names)
        return f"dpkg-query -W -f '${{Package}} ${{db:Status-Status}} ${{Version}}\\n' {listed} 2>/dev/null || true"

    @staticmethod
    def default() -> dict[str, str]:
        """Nothing installed."""
        return {}

    def process(self, output: Iterable[str]) -> dict[str, str]:
        """`docker.io installed 26.1.5+dfsg1-9+b9` a line."""
        rows = (line.split(" ") for line in output)
        return {row[0]: row[2] for row in rows if len(row) == 3 and row[1] == "installed"}


@operation()
def packages(names: Sequence[str], lock_seconds: int = LOCK_SECONDS) -> Generator[Step, None, None]:
    """Have these packages installed, at whatever version the host's sources give."""
    installed = host.get_fact(Packages, names=sorted(names)) if names else {}
    missing = sorted(set(names) - set(installed))
    if missing:
        yield Step(
            install_script(missing, lock_seconds),
            reason=f"install {', '.join(missing)}",
            action="add",
            seconds=INSTALL_SECONDS + lock_seconds,
        )


def install_script(names: Sequence[str], lock_seconds: int) -> str:
    """Shell that waits for apt's locks, finishes what a killed dpkg left, refreshes stale lists, installs."""
    listed = " ".join(shlex.quote(name) for name in names)
    return _INSTALL.replace("@LOCK@", str(lock_seconds)).replace("@NAMES@", listed)


# apt itself waits for dpkg's lock only; the lists' lock and `dpkg --configure` fail at once, hence the loop.
# Confdef and confold keep an operator's edited configuration instead of asking a terminal that is not there.
_INSTALL = """export DEBIAN_FRONTEND=noninteractive
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
if [ -n "$(ls -A /var/lib/dpkg/updates 2>/dev/null)" ] || [ -n "$(dpkg --audit)" ]; then
  patiently dpkg --configure -a --force-confdef --force-confold || exit $?
fi
fresh=$(find /var/lib/apt/lists -maxdepth 1 -type f -name '*_Packages*' -mmin -60 2>/dev/null | head -n 1)
if [ -z "$fresh" ] || ! apt-get install --simulate @NAMES@ >/dev/null 2>&1; then
  patiently apt-get update -q -o APT::Update::Error-Mode=any || exit $?
fi
patiently apt-get install -q -y --no-install-recommends \\
  -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold @NAMES@
"""
