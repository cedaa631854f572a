"""A host in a mesh by Tailscale: joined once, with settings that follow the inventory, at the address it is to have.

Written for the command line that Tailscale documents; tried against a program that speaks the same, and not against
the real service.
"""

import json
import shlex
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.core.artifact import Artifact
from stackctl.core.finding import Finding, FindingsError
from stackctl.mesh.tailscale import KEY_FILE, OWN_SERVER, UNIT, TailscaleSpec
from stackctl.ops.step import Guard, Step, WriteFiles
from stackctl.ops.trace import saw
from stackctl.ops.wording import some
from stackctl.plan.change import FileChange

RESTORE = (f"systemctl restart {UNIT}",)
"""What makes the login that was there before count again."""
JOIN_SECONDS = 10
"""Time that the server has to let a host in: less than a guarded step may take."""

_NETFILTER_OFF = 0


@dataclass(frozen=True)
class State:
    """What the daemon says of itself."""

    installed: bool = False
    backend: str = ""
    """`Running`, `NeedsLogin`, `NeedsMachineAuth`, `Stopped` and the like; empty where no daemon answers."""
    addresses: tuple[str, ...] = ()
    """What the server gave the host, IPv4 alone."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """By the names of the daemon's own preferences."""

    @property
    def server(self) -> str:
        """Whom it asks."""
        return str(self.settings.get("ControlURL") or OWN_SERVER).rstrip("/")

    @property
    def joined(self) -> bool:
        """Whether it has an identity at its server."""
        return self.backend in {"Running", "Starting", "Stopped", "NeedsMachineAuth"}


class Daemon(FactBase[State]):
    """The daemon's state and settings."""

    def command(self) -> str:
        """`status` and `debug prefs` tell in JSON; both are quick and change nothing."""
        return _STATE

    @staticmethod
    def default() -> State:
        """Nothing there."""
        return State()

    def process(self, output: Iterable[str]) -> State:
        """Each answer is one line."""
        told = {what: value for what, _, value in (line.partition(" ") for line in output)}
        status, settings = _object(told.get("status", "")), _object(told.get("settings", ""))
        own = status.get("Self")
        addresses = status.get("TailscaleIPs") or (own.get("TailscaleIPs") if isinstance(own, dict) else ())
        return State(
            "installed" in told,
            str(status.get("BackendState", "")),
            tuple(str(address) for address in addresses or () if "." in str(address)),
            settings,
        )


# A daemon that hangs must not keep the plan waiting.
_STATE = """command -v tailscale >/dev/null || exit 0
echo installed
printf 'status %s\\n' "$(timeout 10 tailscale status --json --peers=false 2>/dev/null | tr -d '\\n')"
printf 'settings %s\\n' "$(timeout 10 tailscale debug prefs 2>/dev/null | tr -d '\\n')"
"""


@operation()
def joined(
    spec: TailscaleSpec, guard: Guard | None = None, root: str = ""
) -> Generator[Step | WriteFiles, None, None]:
    """Have the host joined, with its settings; the key is on it only while it joins.

    `root` is where the host's files begin.
    """
    state = host.get_fact(Daemon)
    _note(state)
    other = state.joined and state.server != spec.server
    if not state.joined or other:
        file = f"{root}{KEY_FILE}"
        key = Artifact(file, f"{spec.auth_key.placeholder}\n", mode=0o600, secrets=(spec.auth_key,))
        yield WriteFiles([key], [FileChange(file, "add", "for the join alone")], guard=guard)
        more = ["--force-reauth"] if other else []
        reason = f"leave {state.server}, and join {spec.server}" if other else f"join {spec.server}"
        yield Step(
            _JOIN.replace("@FILE@", shlex.quote(file)).replace("@FLAGS@", _flags(spec, more)),
            reason=f"{reason} as {spec.host}",
            hint="see that the key has neither ended nor been used up, and that the host reaches the server",
            seconds=15,
            known=state.installed,
            guard=guard,
        )
        return
    reasons = [*_differences(spec, state.settings), *(["start it"] if state.backend == "Stopped" else [])]
    if reasons:
        command = f"tailscale up {_flags(spec, [])} </dev/null >&2"
        yield Step(command, reason="; ".join(reasons), seconds=15, guard=guard)


_JOIN = """trap 'rm -f -- @FILE@' EXIT
trap 'exit 143' HUP INT TERM
tailscale up @FLAGS@ --auth-key=file:@FILE@ </dev/null >&2
"""


@operation()
def addressed(spec: TailscaleSpec) -> Generator[Step, None, None]:
    """Refuse a host to which the server gave another address than the inventory says, or that it has not let in."""
    state = host.get_fact(Daemon)
    if state.backend == "NeedsMachineAuth":
        what = f"waits for somebody to let {spec.host} in"
        raise FindingsError(
            Finding(spec.server, what, "approve it in the server's list of machines, then apply")
        )
    if state.backend == "Running" and state.server == spec.server and spec.address not in state.addresses:
        what = (
            f"gave {spec.host} {some(state.addresses) or 'no address'}, and `mesh.address` is {spec.address}"
        )
        hint = f"write `hosts.{spec.host}.mesh.address: {state.addresses[0]}`, " if state.addresses else ""
        hint += "or give it the address in the server's list of machines"
        raise FindingsError(Finding(spec.server, what, hint))
    yield from ()


def _note(state: State) -> None:
    known = {"server": state.server, "addresses": ", ".join(state.addresses)} if state.joined else {}
    saw("login at Tailscale", **known)


def _flags(spec: TailscaleSpec, more: list[str]) -> str:
    """All settings, since what is not named goes back to its default."""
    flags = [
        "--reset",
        *more,
        f"--login-server={spec.server}",
        f"--hostname={spec.host}",
        "--accept-dns=false",
        "--netfilter-mode=off",
        f"--accept-routes={'true' if spec.accepts else 'false'}",
        f"--advertise-routes={','.join(spec.routes)}",
        "--accept-risk=lose-ssh",
        f"--timeout={JOIN_SECONDS}s",
    ]
    return " ".join(map(shlex.quote, flags))


def _differences(spec: TailscaleSpec, settings: Mapping[str, Any]) -> Iterator[str]:
    wanted: dict[str, tuple[str, Any]] = {
        "Hostname": ("name", spec.host),
        "CorpDNS": ("whether it takes over the host's DNS", False),
        "NetfilterMode": ("whether it writes firewall rules", _NETFILTER_OFF),
        "RouteAll": ("whether it takes others' networks", spec.accepts),
        "AdvertiseRoutes": ("networks behind it", list(spec.routes)),
    }
    for key, (what, value) in wanted.items():
        found = settings.get(key)
        if (sorted(found or ()) if isinstance(value, list) else found) != value:
            yield f"{what} {_shown(found)} becomes {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return some([str(each) for each in value]) or "none"
    return {True: "yes", False: "no", None: "unset"}.get(value, str(value)) if value != 0 else "no"


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
