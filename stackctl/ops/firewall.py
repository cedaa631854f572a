"""The firewall: judged, loaded and kept loaded, and never such that it shuts out whoever applies it."""

import hashlib
import shlex
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.capabilities.firewall import LOADED, TABLE, UNIT, FirewallSpec
from stackctl.core.artifact import Artifact
from stackctl.core.finding import Finding, FindingsError
from stackctl.core.rule import marks
from stackctl.ops.files import writing
from stackctl.ops.filestate import Files
from stackctl.ops.step import Guard, Step, WriteFiles
from stackctl.ops.trace import saw
from stackctl.plan.ports import told
from stackctl.schema.wording import similar

_SAME = "load the rules as they are now, no port opens or closes"

_LINK = f"/etc/systemd/system/sysinit.target.wants/{UNIT}"
# Where the unit is gone again, or will not, the rules themselves count.
_LOAD_FORMER = f"""if [ ! -f @RULES@ ]; then nft delete table {TABLE}; systemctl stop {UNIT}
elif ! systemctl reload-or-restart {UNIT}; then nft -f @RULES@; fi"""


@dataclass(frozen=True)
class Login:
    """The operator's own connection, as the host sees it."""

    address: str
    port: int
    """Port of the host's own."""
    interface: str | None
    """Network interface that has the address it came to; None where none has."""

    @property
    def peer(self) -> IPv4Address | None:
        """Where it comes from; None: from an address of IPv6."""
        try:
            return IPv4Address(self.address.removeprefix("::ffff:"))
        except AddressValueError:
            return None


@dataclass(frozen=True)
class Enforcement:
    """What a host does about its firewall."""

    boot: bool = False
    """Whether the rules are loaded at boot."""
    reread: bool = False
    """Whether systemd has yet to read the changed definition of the unit, or of nftables' own."""
    file: str | None = None
    """Hash of the file that was loaded last; None: none was since the boot."""
    told: str | None = None
    """Hash of what the kernel told of the table right after that."""
    tells: str | None = None
    """Hash of what it tells now; None: there is no table of ours."""
    interfaces: tuple[str, ...] = ()
    """Its network interfaces."""
    login: Login | None = None
    """None where the host was not reached by SSH."""


class Enforced(FactBase[Enforcement]):
    """How the firewall stands, and where the operator stands before it."""

    def command(self) -> str:
        """Asked of systemd, the kernel and the environments of the shells above this one."""
        return _LOOK.replace("@LOADED@", LOADED)

    @staticmethod
    def default() -> Enforcement:
        """Nothing of a firewall."""
        return Enforcement()

    def process(self, output: Iterable[str]) -> Enforcement:
        """`TAG VALUE ...` a line."""
        rows = {tag: rest.split() for tag, _, rest in (line.partition(" ") for line in output)}
        file, told_then = rows.get("loaded", [None, None])
        login = rows.get("login")
        return Enforcement(
            rows.get("boot") == ["enabled"],
            rows.get("reread") == ["yes"],
            file,
            told_then,
            next(iter(rows.get("table", ())), None),
            tuple(sorted(rows.get("interfaces", ()))),
            Login(login[0], int(login[3]), next(iter(login[4:]), None)) if login else None,
        )


@operation()
def enforced(
    spec: FirewallSpec, rules: Artifact, units: Sequence[Artifact]
) -> Generator[Step | WriteFiles, None, None]:
    """Have these rules in the kernel now and at every boot; what somebody did to them by hand is undone."""
    state = host.get_fact(Enforced)
    present = host.get_fact(Files, wanted=[(rules.path, "0")]).get(rules.path)
    saw(f"table {TABLE}", **({"state": _state(state)} if state.tells else {}))
    saw(f"unit {UNIT}", boot="enabled" if state.boot else "disabled")
    guard = _guard(rules, units)
    written = list(writing([*units, rules], ("nft", "-c", "-f", rules.path), guard))
    reason = _reason(spec, rules, state, None if present is None else present.content or "")
    if not (written or reason):
        return
    if problems := [*_missing(spec, state.interfaces), *_shut_out(spec, state.login)]:
        raise FindingsError(*problems)
    yield from written
    yield Step(
        _LOAD,
        reason=reason or _SAME,
        hint=f"read `journalctl -u {UNIT}` on the host",
        guard=guard,
    )


def _guard(rules: Artifact, units: Sequence[Artifact]) -> Guard:
    """Former rules are loaded again, and where there were none our table goes; those of others are left alone."""
    load = _LOAD_FORMER.replace("@RULES@", shlex.quote(rules.path))
    paths = (rules.path, *(unit.path for unit in units), _LINK)
    return Guard("firewall", paths, ("systemctl daemon-reload", load))


def _state(state: Enforcement) -> str:
    return "as loaded" if state.tells == state.told else "changed by hand"


def _reason(spec: FirewallSpec, rules: Artifact, state: Enforcement, former: str | None) -> str | None:
    """What loading the rules does, and why it has to be; None: the kernel has them."""
    if former is None:
        return told(None, spec.rules) if state.tells is None else _SAME
    parts = [_unloaded(state, former), told(marks(former), spec.rules)]
    return "; ".join(filter(None, parts)) or (_SAME if former != rules.content else _unprepared(state))


def _unloaded(state: Enforcement, former: str) -> str | None:
    """How the kernel's rules are not those of the file that the host has; None: they are."""
    if state.tells is None:
        return "load the rules, the kernel has none"
    if state.tells != state.told:
        return "load the rules again, somebody changed them in the kernel"
    if state.file != hashlib.sha256(former.encode()).hexdigest():
        return "load the rules, their file changed since it was loaded"
    return None


def _unprepared(state: Enforcement) -> str | None:
    """What the host lacks to have the rules at the next boot too."""
    if not state.boot:
        return f"enable {UNIT} at boot"
    return "let systemd read the changed unit" if state.reread else None


def _missing(spec: FirewallSpec, interfaces: Collection[str]) -> Iterator[Finding]:
    """Uplinks that the host has not: they are misspelt, and the real ones would not be guarded as such."""
    for name in spec.outside if interfaces else ():
        if name not in interfaces:
            hint = similar(name, set(interfaces) - {"lo"})
            yield Finding(spec.place, f"`{name}` is not a network interface of the host", hint)


def _shut_out(spec: FirewallSpec, login: Login | None) -> Iterator[Finding]:
    """Rules that would keep out the very connection that they come by."""
    if login is None:
        return
    doors = [rule for rule in spec.rules if (rule.port, rule.protocol) == (login.port, "tcp")]
    if any(rule.admits(login.peer, login.interface) for rule in doors):
        return
    came = f"this machine comes from {login.address}" + (f" by {login.interface}" if login.interface else "")
    if spec.ssh == "mesh":
        what = f"{came}, and logins would be let in from the mesh alone"
        hint = (
            f"show that the mesh is a way in: keep `ssh: management`, set the host's `ssh.address` to "
            f"{spec.ssh_address}, and set `ssh: mesh` once an apply has come by {spec.mesh}"
        )
    elif not doors:
        what = f"{came} to port {login.port}/tcp, which the rules would close"
        hint = f"set `ssh.port` to {login.port}: it is the port that the host's sshd listens on"
    else:
        listed = ", ".join(source.network for rule in doors for source in rule.sources or ())
        what = f"{came}, and logins would be let in from {listed} alone"
        hint = "add a network that holds it to `management`, or apply from a machine that is in one"
    yield Finding(spec.place, what, hint)


_REREAD = f"systemctl show -p NeedDaemonReload --value -- {UNIT} nftables.service | grep -q yes"
# The environment of a login's first processes tells where it came from, whatever sudo makes of the later ones'.
_LOOK = f"""PATH=$PATH:/usr/sbin:/sbin
printf 'boot %s\\n' "$(systemctl is-enabled -- {UNIT} 2>/dev/null)"
! {_REREAD} || echo reread yes
[ ! -f @LOADED@ ] || sed 's/^/loaded /' @LOADED@
if nft list table {TABLE} >/dev/null 2>&1; then
  printf 'table %s\\n' "$(nft -s list table {TABLE} | sha256sum)"
fi
printf 'interfaces %s\\n' "$(ip -o link show | sed 's/^[0-9]*: //; s/[:@].*//' | tr '\\n' ' ')"
p=$$ c=
while [ -z "$c" ] && [ "${{p:-0}}" -gt 1 ]; do
  c=$(tr '\\0' '\\n' <"/proc/$p/environ" 2>/dev/null | sed -n 's/^SSH_CONNECTION=//p')
  p=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$p/status" 2>/dev/null)
done
[ -z "$c" ] || {{
  set -- $c
  printf 'login %s %s\\n' "$c" "$(ip -o addr show to "$3" 2>/dev/null | awk 'NR == 1 {{ print $2 }}')"
}}
true
"""

_LOAD = f"""systemctl is-enabled -q {UNIT} 2>/dev/null && ! {_REREAD} || systemctl daemon-reload || exit
systemctl reset-failed -- {UNIT} 2>/dev/null
systemctl enable -q -- {UNIT} && systemctl reload-or-restart -- {UNIT} || {{
  rc=$?
  journalctl --no-pager -q -o cat -n 20 -u {UNIT} >&2
  exit $rc
}}
"""
