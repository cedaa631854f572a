"""WireGuard on a host: its own key, its interface, its peers, none of them at the cost of a running session."""

import hashlib
import shlex
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from importlib.resources import files

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.capabilities.mesh import MeshSpec
from stackctl.core.artifact import Artifact
from stackctl.core.finding import Finding, FindingsError
from stackctl.mesh import interface as text
from stackctl.mesh.wireguard import FOLDER, WireguardSpec, config_file
from stackctl.ops import sharedkeys
from stackctl.ops.apt import INSTALL_SECONDS, LOCK_SECONDS, install_script
from stackctl.ops.fleet import Introduction, takes_part, told
from stackctl.ops.sharedkeys import Shared
from stackctl.ops.step import Guard, Step, WriteFiles
from stackctl.ops.trace import saw
from stackctl.ops.wireguardstate import Found, Implementation, Interface, Keys, OwnKeys
from stackctl.ops.wording import some
from stackctl.plan.change import FileChange
from stackctl.plan.compare import compare

MAKES = "wireguard/makes"
"""Topic: the number of the key that an apply will make on the host."""
MET = "wireguard/met"
"""Topic: the apply has had all hosts make their keys; one that is not known now stays unknown."""


def introduction(spec: MeshSpec) -> Introduction | None:
    """How a host tells its public keys, and makes the one that is wanted; None where another backend is used."""
    if spec.wireguard is None:
        return None
    number = str(spec.wireguard.number)
    tell = _TELL.replace("@FOLDER@", FOLDER)
    return Introduction(
        tell + _MAKES.replace("@FOLDER@", FOLDER).replace("@NUMBER@", number),
        f"{_making(number)}{tell}echo {MET} yes\n",
    )


@operation()
def implementation() -> Generator[Step, None, None]:
    """Have WireGuard as a program where the kernel has none; `wg-quick` falls back to it by itself."""
    if not host.get_fact(Implementation):
        yield Step(
            install_script(["wireguard-go"], LOCK_SECONDS),
            reason="install wireguard-go: the kernel has no WireGuard",
            action="add",
            seconds=INSTALL_SECONDS + LOCK_SECONDS,
        )


@operation()
def key(spec: WireguardSpec) -> Generator[Step, None, None]:
    """Have the key of the wanted number; the first is used at once, a later one when all others know it."""
    found = host.get_fact(OwnKeys, folder=FOLDER)
    if newer := [number for number in found.public if number > spec.number]:
        what = f"the host has its key {max(newer)} already, and the inventory says {spec.number}"
        hint = "fetch the inventory that it was applied from, or write a higher `mesh.key`"
        raise FindingsError(Finding("WireGuard", what, hint))
    if spec.number in found.public:
        return
    later = found.public and found.used
    reason = f"make key {spec.number}: used once all peers know it" if later else "make the host's key"
    absent = [peer.name for peer in spec.peers if not takes_part(peer.name)] if later else []
    if absent:
        reason += f"; as long as {some(absent)}, not part of this run, can be reached, the former one stays"
    script = f"{_TAKE.replace('@MAKING@', _making(spec.number)).replace('@NUMBER@', str(spec.number))}"
    yield Step(script.replace("@FOLDER@", FOLDER), reason=reason, action="add")


@operation()
def interface(spec: WireguardSpec, config: Artifact) -> Generator[WriteFiles | Step, None, None]:
    """Have the interface as its file says, with the peers whose keys are known.

    A change of peers leaves sessions alone; what only making it anew can change does not.
    """
    found = host.get_fact(Interface, device=spec.device, file=config.path)
    keys = host.get_fact(OwnKeys, folder=FOLDER)
    before = found.file.content or "" if found.file is not None else ""
    known = _known(spec, before)
    _distinct(spec, known, keys)
    shown = replace(config, content=text.filled(config.content, known, None))
    shared = sharedkeys.shared(spec)
    file, change = _file(spec, config, shown, known, found, shared)
    _note(spec, found, keys)
    guard = _guard(spec.device)
    left: tuple[str, ...] = ()
    if change is not None:
        absent = [peer for peer in spec.peers if not takes_part(peer.name)]
        left = sharedkeys.left_behind(spec, before, found.former, shared, absent)
        yield WriteFiles([file], [change], guard=guard)
    if not found.enabled:
        enable = f"systemctl enable -q -- {_unit(spec.device)}"
        yield Step(enable, reason=f"have {spec.device} at every boot", guard=guard)
    doing = _doing(spec, shown.content, found, keys, changes=change is not None)
    if doing is not None:
        verb, reasons = doing
        waiting = [
            f"{peer.name} joins once its key is known" for peer in spec.peers if peer.name not in known
        ]
        waiting += [f"{name} is silent, and is back once an apply has reached it too" for name in left]
        yield Step(
            _ACT.replace("@VERB@", verb).replace("@UNIT@", _unit(spec.device)),
            reason="; ".join([reasons, *([some(waiting)] if waiting else [])]),
            guard=guard,
            hint=f"read `journalctl -u {_unit(spec.device)}` on the host",
        )


def _known(spec: WireguardSpec, before: str) -> dict[str, tuple[str, int]]:
    """Keys by name with their numbers: as the peers tell, else as the host has them."""
    held = {entry.name: (entry.key, entry.number) for entry in text.entries(before)}
    known = {}
    for peer in spec.peers:
        public = told(peer.name, f"wireguard/{peer.number}")
        if public is not None:
            known[peer.name] = (public, peer.number)
        elif told(spec.host, MET) is None and told(peer.name, MAKES) == str(peer.number):
            known[peer.name] = (text.coming(peer.name), peer.number)
        elif peer.name in held:
            known[peer.name] = held[peer.name]
    return known


def _distinct(spec: WireguardSpec, known: Mapping[str, tuple[str, int]], keys: Keys) -> None:
    own = told(spec.host, f"wireguard/{spec.number}") or keys.public.get(spec.number)
    public = {name: key for name, (key, _) in known.items()} | ({spec.host: own} if own else {})
    for names in text.same_keys(public):
        what = f"{' and '.join(names)} have one key between them, as copies of a machine do"
        hint = f"remove {FOLDER}/stackctl* on all but one of them, then apply again"
        raise FindingsError(Finding("WireGuard", what, hint))


def _file(
    spec: WireguardSpec,
    config: Artifact,
    shown: Artifact,
    known: Mapping[str, tuple[str, int]],
    found: Found,
    shared: Shared | None,
) -> tuple[Artifact, FileChange | None]:
    """The file with all its keys, and how it differs, shared keys left out."""
    whole = shown
    if spec.preshared is not None:
        whole = replace(config, content=text.filled(config.content, known, shared), secrets=(spec.preshared,))
    sha256 = hashlib.sha256(whole.content.encode()).hexdigest()
    change = compare(shown, sha256, found.file)
    if change is not None and found.file is not None and found.file.content == shown.content:
        reason = "shared keys change" if found.file.sha256 != sha256 else change.reason
        change = replace(change, reason=reason, diff="")
    return whole, change


def _note(spec: WireguardSpec, found: Found, keys: Keys) -> None:
    saw(
        f"WireGuard key {spec.number}",
        **({"public": keys.public[spec.number]} if spec.number in keys.public else {}),
    )
    file = found.file
    kept = {"mode": f"{file.mode:o}", "sha256": file.sha256} if file is not None else {}
    saw(f"file {config_file(spec.device)}", **kept)
    state = "active" if found.active and found.running.public else "inactive"
    boot = "enabled" if found.enabled else "disabled"
    saw(f"interface {spec.device}", state=state, boot=boot, peers=str(len(found.running.peers)))


def _doing(
    spec: WireguardSpec, wanted: str, found: Found, keys: Keys, *, changes: bool
) -> tuple[str, str] | None:
    """What is done to the interface, and why; None: it is as it should be."""
    before = found.file.content or "" if found.file is not None else ""
    if not found.active or not found.running.public:
        return "restart", f"start {spec.device}"
    if text.shape(before) != text.shape(wanted):
        return "restart", f"restart {spec.device}, because its own settings change"
    if reasons := [*text.reshaped(wanted, found.running)]:
        return "restart", f"restart {spec.device}: {some(reasons)}"
    if changes:
        reasons = [*text.changed(before, wanted)] or ["its file changes"]
    else:
        reasons = [*text.strayed(wanted, found.running, found.former), *_key_strayed(spec, found, keys)]
    return ("reload", f"tell {spec.device}: {some(reasons)}") if reasons else None


def _key_strayed(spec: WireguardSpec, found: Found, keys: Keys) -> Iterator[str]:
    """A key on its way is looked after on the host; where that has stopped it is begun again."""
    own = keys.public.get(spec.number)
    waiting = keys.used != f"stackctl-{spec.number}.key" and own is not None
    if found.former and not found.follows:
        yield f"the new keys of {some(sorted(found.former))} are on their way"
    elif waiting and not found.follows:
        yield f"key {spec.number} waits to be used"
    elif not waiting and own is not None and found.running.public != own:
        yield "it runs with another key"


def _guard(device: str) -> Guard:
    unit, file = _unit(device), config_file(device)
    back = f"if [ -f {file} ]; then systemctl restart {unit}; else systemctl disable --now {unit}; fi"
    return Guard("mesh", (file,), (back,))


def _unit(device: str) -> str:
    return f"wg-quick@{device}.service"


def _making(number: int | str) -> str:
    program = files("stackctl.agents").joinpath("wireguard_key.pl").read_text("utf-8")
    return f"perl - {shlex.quote(FOLDER)} {number} <<'STACKCTL' || exit\n{program}STACKCTL\n"


_TELL = """for f in @FOLDER@/.stackctl-*.pub.new @FOLDER@/stackctl-*.pub; do
  [ -f "$f" ] || continue
  n=${f##*stackctl-} n=${n%%.*}
  read -r k <"$f" && printf 'wireguard/%s %s\\n' "$n" "$k"
done
true
"""
_MAKES = """[ -f @FOLDER@/stackctl-@NUMBER@.pub ] || [ -f @FOLDER@/.stackctl-@NUMBER@.pub.new ] ||
  echo wireguard/makes @NUMBER@
"""
_TAKE = """umask 077
@MAKING@cd @FOLDER@ && mv -fT .stackctl-@NUMBER@.pub.new stackctl-@NUMBER@.pub &&
mv -T .stackctl-@NUMBER@.key.new stackctl-@NUMBER@.key || exit
[ -s stackctl.key ] || ln -sfn stackctl-@NUMBER@.key stackctl.key || exit
sync .
"""
_ACT = """[ "$(systemctl show -p NeedDaemonReload --value -- @UNIT@)" = no ] || systemctl daemon-reload
systemctl reset-failed -- @UNIT@ 2>/dev/null
systemctl @VERB@ -- @UNIT@ || {
  rc=$?
  journalctl --no-pager -q -o cat -n 20 -u @UNIT@ >&2
  exit $rc
}
"""
