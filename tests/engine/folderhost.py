"""A host that lives in a folder: real files, and programs that keep what they manage in files there."""

from pathlib import Path

from tests.engine.local import LocalSession
from tests.ops.programs import program

NEWEST = "9.9"
"""The version of every package in the sources of such a host."""

PROGRAMS = {
    "dpkg": "true",
    "sleep": "true",
    "sync": "true",
    "journalctl": "true",
    # `NAME WANT STATUS VERSION`, and silence about what was never there.
    "dpkg-query": """shift 2
for name; do [ ! -f @ROOT@/packages/$name ] || echo "$name $(cat @ROOT@/packages/$name)"; done""",
    "apt-cache": f"""shift
for name; do echo "$name:"; echo "  Candidate: {NEWEST}"; done""",
    "apt-mark": """verb=$1; shift
[ $verb = hold ] && want=hold || want=install
for name; do read -r _ rest <@ROOT@/packages/$name; echo "$want $rest" >@ROOT@/packages/$name; done""",
    "apt-get": f"""case "$*" in *--simulate*|update*) exit 0;; esac
for word; do
  case $word in install|-*|Dpkg::*) continue;; esac
  name=${{word%%=*}} version=${{word#*=}}
  [ "$version" != "$word" ] || version={NEWEST}
  echo "install $word" >>@ROOT@/calls
  echo "install installed $version" >@ROOT@/packages/$name
done""",
    "sysctl": """case $1 in
  -n) cat "@ROOT@/settings/$2";;
  -q) echo "set $3" >>@ROOT@/calls; printf '%s\\n' "${3#*=}" >"@ROOT@/settings/${3%%=*}";;
esac""",
    "systemctl": """for unit; do :; done
now() { date -u '+%a %Y-%m-%d %H:%M:%S.%6N UTC'; }
cd @ROOT@/units/"$unit" || exit 5
case "$*" in
  *--value*) cat invocation;;
  show*)
    echo LoadState=loaded; echo "ActiveState=$(cat active)"; echo "UnitFileState=$(cat enabled)"
    echo "InvocationID=$(cat invocation)"
    echo "ActiveEnterTimestamp=$(cat started)"; echo "StateChangeTimestamp=$(cat loaded)";;
  is-active*) [ "$(cat active)" = active ];;
  reset-failed*) ;;
  enable*) echo "enable $unit" >>@ROOT@/calls; echo enabled >enabled;;
  *)
    echo "$1 $unit" >>@ROOT@/calls
    if [ "$1" = restart ] || [ "$(cat active)" != active ]; then
      echo active >active; echo x$(($(cut -c2- invocation) + 1)) >invocation; now >started
    fi
    now >loaded;;
esac""",
}

_LATER = "Fri 2100-01-01 00:00:00.000000 UTC"


class FolderHost:
    """One host below a folder; `calls` of its programs that changed something are kept."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.root = folder / name
        for part in ("etc", "packages", "settings", "units"):
            (self.root / part).mkdir(parents=True)
        for name_, script in PROGRAMS.items():
            program(self.root / "bin", name_, script.replace("@ROOT@", str(self.root)))

    def session(self) -> LocalSession:
        """A connection to it."""
        return LocalSession(self.root / "bin", self.root / "var")

    def unit(self, name: str) -> Path:
        """The folder of a unit that is neither enabled nor running, made where there is none."""
        folder = self.root / "units" / name
        if not folder.exists():
            folder.mkdir()
            values = {
                "active": "inactive",
                "enabled": "disabled",
                "invocation": "",
                "started": "",
                "loaded": "",
            }
            for key, value in values.items():
                (folder / key).write_text(f"{value}\n")
        return folder

    def disturb(self, unit: str, deed: str) -> None:
        """Somebody does something to a unit: `stop`, `fail`, `disable` or `restart`."""
        values = {
            "stop": {"active": "inactive"},
            "fail": {"active": "failed"},
            "disable": {"enabled": "disabled"},
            "restart": {"invocation": "x1000", "started": _LATER, "loaded": _LATER},
        }
        for key, value in values[deed].items():
            (self.unit(unit) / key).write_text(f"{value}\n")

    def take_calls(self) -> list[str]:
        """What the programs changed since the last time."""
        calls = self.root / "calls"
        found = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return found
