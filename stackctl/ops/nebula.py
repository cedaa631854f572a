"""A host in a mesh by nebula: a key that is born there, and a certificate that follows the inventory."""

import base64
import shlex
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.core.artifact import Artifact
from stackctl.core.finding import Finding, FindingsError
from stackctl.mesh import certificate as text
from stackctl.mesh import renewal
from stackctl.mesh.certificate import Certificate, UnfitError
from stackctl.mesh.nebula import CERTIFICATE_FILE, UNIT, UNIT_FILE, NebulaSpec
from stackctl.mesh.renewal import day
from stackctl.ops import authority
from stackctl.ops.step import TOLD, Guard, Step, WriteFiles
from stackctl.ops.trace import saw
from stackctl.ops.wording import some
from stackctl.plan.change import FileChange

RESTORE = (
    "systemctl daemon-reload",
    f"if [ -f {UNIT_FILE} ]; then systemctl restart {UNIT}; else systemctl stop {UNIT}; fi",
)
"""Commands that make restored files count, where there were none too."""


@dataclass(frozen=True)
class State:
    """What a host has of its own in the mesh."""

    now: int = 0
    """The host's clock, in seconds since 1970."""
    private: str | None = None
    """Mode of the private key's file; None where there is none."""
    public: str | None = None
    """Text of the public key's file."""
    certificate: Certificate | None = None
    unreadable: bool = False
    """Whether there is a certificate that is none."""
    genuine: bool | None = None
    """Whether the authority signed it; None where the host has nothing to judge that by."""
    earlier: tuple[str, ...] = ()
    """Files of keys with other numbers."""

    @property
    def key(self) -> str | None:
        """The public key, in hexadecimal digits."""
        return None if self.public is None else text.public_key(self.public)


class OwnState(FactBase[State]):
    """A host's key, as far as it may be told, and its certificate."""

    def command(self, spec: NebulaSpec, root: str = "") -> str:
        """Asked of the files themselves, so that it is known before nebula is installed."""
        values = {"@KEY@": spec.key_file, "@PUBLIC@": spec.public_file, "@CERTIFICATE@": CERTIFICATE_FILE}
        script = _STATE
        for name, path in values.items():
            script = script.replace(name, shlex.quote(f"{root}{path}"))
        return script.replace("@AUTHORITY@", spec.authority)

    @staticmethod
    def default() -> State:
        """Nothing there."""
        return State()

    def process(self, output: Iterable[str]) -> State:
        """`WHAT VALUE` lines, contents in base64."""
        state = State()
        for line in output:
            what, _, value = line.partition(" ")
            match what:
                case "now":
                    state = replace(state, now=int(value))
                case "private":
                    state = replace(state, private=value)
                case "public":
                    state = replace(state, public=_decoded(value))
                case "certificate":
                    found = _certificate(_decoded(value))
                    state = replace(state, certificate=found, unreadable=found is None)
                case "verified":
                    state = replace(state, genuine=value == "0")
                case "earlier":
                    state = replace(state, earlier=(*state.earlier, value))
                case _:
                    pass
        return state


# `nebula-cert` finds fault with a certificate that has ended as well, so that its word comes last.
_STATE = """key=@KEY@ public=@PUBLIC@ certificate=@CERTIFICATE@
date +'now %s'
[ ! -s "$key" ] || stat -c 'private %a' -- "$key"
[ ! -s "$public" ] || printf 'public %s\\n' "$(head -c 4096 -- "$public" | base64 -w0)"
if [ -f "$certificate" ]; then
  printf 'certificate %s\\n' "$(head -c 65536 -- "$certificate" | base64 -w0)"
  if command -v nebula-cert >/dev/null; then
    nebula-cert verify -ca /dev/stdin -crt "$certificate" >/dev/null 2>&1 <<'EOF'
@AUTHORITY@EOF
    echo "verified $?"
  fi
fi
for f in "${key%/*}"/host-*.key; do
  [ ! -f "$f" ] || [ "$f" = "$key" ] || printf 'earlier %s\\n' "$f"
done
"""


@operation()
def keyed(spec: NebulaSpec, root: str = "") -> Generator[Step, None, None]:
    """Have a key of the host's own; its private half never leaves it. `root` is where the host's files begin."""
    state = host.get_fact(OwnState, spec=spec, root=root)
    public = state.key if state.private else None
    saw(f"key {spec.key} of the mesh", **({"public": public} if public else {}))
    if public:
        if state.private != "600":
            command = f"chmod 600 -- {shlex.quote(f'{root}{spec.key_file}')}"
            yield Step(command, reason=f"mode {state.private} of key {spec.key} becomes 600")
        return
    script = _MAKE.replace("@KEY@", shlex.quote(f"{root}{spec.key_file}"))
    yield Step(
        script.replace("@PUBLIC@", shlex.quote(f"{root}{spec.public_file}")),
        reason=f"make key {spec.key}, which stays on the host",
        action="add",
        seconds=30,
    )


# The private half gets its name last: a key whose public half is not there yet would be no use to anybody.
_MAKE = """set -e
umask 077
key=@KEY@ public=@PUBLIC@
mkdir -p -- "${key%/*}"
d=$(mktemp -d -- "${key%/*}/.new.XXXXXXXXXX")
trap 'rm -rf -- "$d"' EXIT
trap 'exit 143' HUP INT TERM
nebula-cert keygen -out-key "$d/key" -out-pub "$d/pub"
chmod 600 -- "$d/key" "$d/pub"
sync -- "$d/key" "$d/pub"
mv -fT -- "$d/pub" "$public"
mv -fT -- "$d/key" "$key"
sync -- "${key%/*}"
"""


class SignedFile(WriteFiles):
    """A certificate that is signed when it is written, on the operator's machine."""

    def __init__(self, order: authority.Order, path: str, change: FileChange, guard: Guard | None) -> None:
        super().__init__([Artifact(path, "")], [change], guard=guard)
        self.order = order

    def script(self) -> str:
        """The shell script that writes it, signed now."""
        content = authority.signed(self.order)
        written = [replace(artifact, content=content) for artifact in self.artifacts]
        begins = text.certificates(content)[0].begins
        return _IN_TIME.replace("@BEGINS@", str(begins)) + WriteFiles(written, self.changes).script()


# nebula would say of a certificate that is not valid yet that it has ended.
_IN_TIME = f"""late() {{ [ "$(date +%s)" -lt @BEGINS@ ]; }}
for i in 1 2 3 4 5; do late || break; sleep 1; done
if late; then
  echo "the clock is $((@BEGINS@ - $(date +%s))) s behind that of the machine which signs: set it right, then apply again" >&2
  exit {TOLD}
fi
"""


@operation()
def certified(
    spec: NebulaSpec, guard: Guard | None = None, root: str = ""
) -> Generator[SignedFile, None, None]:
    """Have a certificate of the authority's that says what the inventory says, renewed in its last third.

    FindingsError where it would have to be signed and this machine cannot. `root` is where the host's files begin.
    """
    state = host.get_fact(OwnState, spec=spec, root=root)
    _note(state.certificate)
    reasons = list(_reasons(spec, state))
    if not reasons:
        return
    authority.require_program()
    order = authority.Order(
        spec.host,
        spec.address,
        spec.groups,
        spec.subnets,
        renewal.days(spec, state.now),
        state.key or "",
        spec.authority,
        spec.signing_key,
    )
    new = state.certificate is None and not state.unreadable
    change = FileChange(f"{root}{CERTIFICATE_FILE}", "add" if new else "change", "; ".join(reasons))
    yield SignedFile(order, f"{root}{CERTIFICATE_FILE}", change, guard)


@operation()
def forgotten(spec: NebulaSpec, root: str = "") -> Generator[Step, None, None]:
    """Have no key with another number than the host's own; nothing is taken away before a new one is in use."""
    state = host.get_fact(OwnState, spec=spec, root=root)
    if state.earlier:
        files = [file for key in state.earlier for file in (key, f"{key.removesuffix('.key')}.pub")]
        yield Step(
            f"rm -f -- {' '.join(map(shlex.quote, files))}",
            reason=f"remove {some([key.rpartition('/')[2] for key in state.earlier])}, no longer in use",
            action="remove",
        )


def _note(found: Certificate | None) -> None:
    if found is None:
        saw("certificate of the mesh")
        return
    saw(
        "certificate of the mesh",
        address=", ".join(map(str, found.addresses)),
        groups=", ".join(sorted(found.groups)),
        issuer=found.issuer,
        ends=day(found.ends),
        fingerprint=found.fingerprint,
    )


def _reasons(spec: NebulaSpec, state: State) -> tuple[str, ...]:
    """Why the certificate has to be made; a plan shows them."""
    signer, found = spec.signer, state.certificate
    if signer.ends <= state.now:
        what = f"the certificate of `{signer.name}` ended on {day(signer.ends)}, and signs no more"
        hint = "make a new authority with `nebula-cert ca`, and write its certificate and its key"
        raise FindingsError(Finding("network.mesh.nebula.authority", what, hint))
    if state.unreadable:
        return ("sign it anew: what is there is no certificate",)
    if found is None:
        return (renewal.first(spec, state.now),)
    return tuple(renewal.reasons(spec, found, state.key, state.now, genuine=state.genuine is not False))


def _decoded(value: str) -> str:
    return base64.b64decode(value).decode(errors="replace")


def _certificate(content: str) -> Certificate | None:
    try:
        return text.certificates(content)[0]
    except UnfitError:
        return None
