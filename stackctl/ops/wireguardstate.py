"""What a host's WireGuard is like: its keys by their numbers, its file without what is secret, its interface."""

import base64
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pyinfra.api import FactBase

from stackctl.mesh.interface import HIDDEN, Running, Seen
from stackctl.plan.compare import FileState


class Implementation(FactBase[tuple[str, ...]]):
    """`kernel` where the kernel has WireGuard, `program` where `wireguard-go` is installed."""

    def command(self) -> str:
        """A module that is not loaded counts too."""
        return (
            "[ ! -e /sys/module/wireguard ] && ! modprobe -n -q wireguard 2>/dev/null || echo kernel\n"
            "! command -v wireguard-go >/dev/null || echo program"
        )

    @staticmethod
    def default() -> tuple[str, ...]:
        """Neither."""
        return ()

    def process(self, output: Iterable[str]) -> tuple[str, ...]:
        """One word a line."""
        return tuple(output)


@dataclass(frozen=True)
class Keys:
    """A host's own keys."""

    public: Mapping[int, str] = field(default_factory=dict)
    """By number, those that are not waiting."""
    used: str = ""
    """Name of the file that is in use."""


class OwnKeys(FactBase[Keys]):
    """A host's own keys; the private ones stay unread."""

    def command(self, folder: str) -> str:
        """`key NUMBER PUBLIC` a line, and the link."""
        return (
            f"cd {shlex.quote(folder)} 2>/dev/null || exit 0\n"
            "for f in stackctl-*.key; do\n"
            '  [ -s "$f" ] || continue\n'
            "  n=${f#stackctl-} n=${n%.key}\n"
            '  printf \'key %s %s\\n\' "$n" "$(cat "stackctl-$n.pub" 2>/dev/null)"\n'
            "done\n"
            "[ ! -s stackctl.key ] || printf 'use %s\\n' \"$(readlink stackctl.key)\""
        )

    @staticmethod
    def default() -> Keys:
        """None."""
        return Keys()

    def process(self, output: Iterable[str]) -> Keys:
        """Lines of the command."""
        rows = [line.split(" ") for line in output]
        public = {int(row[1]): row[2] for row in rows if row[0] == "key"}
        return Keys(public, next((row[1] for row in rows if row[0] == "use"), ""))


@dataclass(frozen=True)
class Found:
    """All that is to be known of an interface."""

    file: FileState | None = None
    """Its content with shared keys hidden, its hash with them."""
    active: bool = False
    enabled: bool = False
    follows: bool = False
    """Whether a change of keys is being followed on the host."""
    former: Mapping[str, str] = field(default_factory=dict)
    """Keys that peers had before, until the new ones have spoken."""
    running: Running = field(default_factory=Running)


class Interface(FactBase[Found]):
    """An interface, its unit and its file; neither private nor shared keys are told."""

    def command(self, device: str, file: str) -> str:
        """Everything in one go."""
        return _LOOK.replace("@DEVICE@", shlex.quote(device)).replace("@FILE@", shlex.quote(file))

    @staticmethod
    def default() -> Found:
        """Nothing there."""
        return Found()

    def process(self, output: Iterable[str]) -> Found:
        """Lines `TAG VALUES`."""
        found = Found()
        peers: dict[str, Seen] = {}
        for line in output:
            match line.split("\t"):
                case ["file", kind, mode, owner, group, sha256, content]:
                    text = base64.b64decode(content).decode(errors="replace")
                    found = replace(found, file=FileState(kind, int(mode, 8), owner, group, sha256, text))
                case ["unit", active, enabled, follows]:
                    follow = follows in {"active", "activating"}
                    found = replace(
                        found, active=active == "active", enabled=enabled == "enabled", follows=follow
                    )
                case ["former", text]:
                    found = replace(found, former=_former(text))
                case ["device", public, port, mark]:
                    number = 0 if mark == "off" else int(mark, 16)
                    own = replace(found.running, public=public, port=int(port), mark=number)
                    found = replace(found, running=own)
                case ["link", mtu]:
                    found = replace(found, running=replace(found.running, mtu=int(mtu)))
                case ["address", address]:
                    addresses = (*found.running.addresses, address)
                    found = replace(found, running=replace(found.running, addresses=addresses))
                case ["route", network]:
                    whole = network if "/" in network else f"{network}/32"
                    routes = (*found.running.routes, whole)
                    found = replace(found, running=replace(found.running, routes=routes))
                case ["peer", key, shared, endpoint, allowed, keepalive]:
                    peers[key] = _peer(shared, endpoint, allowed, keepalive)
                case _:
                    pass
        return replace(found, running=replace(found.running, peers=peers))


def _former(text: str) -> dict[str, str]:
    try:
        former = json.loads(text)
    except ValueError:
        return {}
    return {str(name): str(key) for name, key in former.items()} if isinstance(former, dict) else {}


def _peer(shared: str, endpoint: str, allowed: str, keepalive: str) -> Seen:
    return Seen(
        () if allowed == "(none)" else tuple(allowed.split(",")),
        None if endpoint == "(none)" else endpoint,
        int(keepalive) if keepalive.isdigit() else None,
        shared == "shared",
    )


# `wg show dump` tells the private key and the shared ones, which stay on the host.
_LOOK = f"""d=@DEVICE@ f=@FILE@
t='\t'
if [ -L "$f" ] || [ -e "$f" ]; then
  [ -f "$f" ] && k=file || k=$(stat -c %F -- "$f" | tr '\\t' ' ')
  [ ! -L "$f" ] || k=link
  c= s=
  if [ "$k" = file ]; then
    s=$(sha256sum <"$f") s=${{s%% *}}
    c=$(sed 's/^PresharedKey = .*/{HIDDEN}/; s/^PrivateKey = .*/PrivateKey = (hidden)/' <"$f" | base64 -w0)
  fi
  printf 'file\\t%s\\t%s\\t%s\\t%s\\n' "$k" "$(stat -c "%a$t%U$t%G" -- "$f")" "$s" "$c"
fi
printf 'unit\\t%s\\t%s\\t%s\\n' "$(systemctl is-active "wg-quick@$d")" "$(systemctl is-enabled "wg-quick@$d" 2>/dev/null)" \\
  "$(systemctl is-active "stackctl-mesh-follow-$d")"
p=/var/lib/stackctl/mesh/$d.json
[ ! -f "$p" ] || printf 'former\\t%s\\n' "$(cat "$p")"
l=$(ip -o link show dev "$d" 2>/dev/null) || exit 0
l=${{l#* mtu }}
printf 'link\\t%s\\n' "${{l%% *}}"
ip -o -4 addr show dev "$d" | awk '{{print "address\\t" $4}}'
ip -4 route show dev "$d" proto 202 | awk '{{print "route\\t" $1}}'
wg show "$d" dump 2>/dev/null | awk -F'\\t' '
  NR == 1 {{ print "device\\t" $2 "\\t" $3 "\\t" $4 }}
  NR > 1 {{ print "peer\\t" $1 "\\t" ($2 == "(none)" ? "-" : "shared") "\\t" $3 "\\t" $4 "\\t" $8 }}'
"""
