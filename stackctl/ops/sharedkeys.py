"""Keys that two hosts share besides their own: changed on both sides in one run, or on neither.

WireGuard makes a new session every two minutes, and gives the former up after three: two hosts of which one alone has
changed the key lose each other then, long after the change has been found well.
"""

import hashlib
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from pyinfra.api import FactBase
from pyinfra.context import host

from stackctl.core.finding import Finding, FindingsError
from stackctl.mesh import interface as text
from stackctl.mesh.wireguard import Peer, WireguardSpec, config_file
from stackctl.ops import secret
from stackctl.ops.wording import SHOWN, some

SHORTEST = 32
"""Characters of a secret from which shared keys are derived: who knows one of them could try out shorter ones."""
FRESH = 180
"""Seconds after which WireGuard has given up a session that nobody renewed."""
ANSWERED = 12
"""Seconds in which a peer that is there answers a word, a lost one and its repetition included."""

Shared = Callable[[str], str]
"""The key that a host shares with the one of that name."""


class SharedKeys(FactBase[Mapping[str, str]]):
    """Fingerprints of the shared keys in an interface's file, by the peer's public key; the keys stay on the host."""

    def command(self, file: str) -> str:
        """`PUBLIC FINGERPRINT` a line."""
        name = shlex.quote(file)
        return (
            f"[ -f {name} ] || exit 0\n"
            "awk '/^PublicKey = /{k = $3} /^PresharedKey = /{print k, $3}' <" + name + " |\n"
            "while read -r key shared; do\n"
            '  printf \'%s %s\\n\' "$key" "$(printf %s "$shared" | sha256sum)"\n'
            "done"
        )

    @staticmethod
    def default() -> Mapping[str, str]:
        """None."""
        return {}

    def process(self, output: Iterable[str]) -> Mapping[str, str]:
        """Lines of the command."""
        return {row[0]: row[1] for line in output if len(row := line.split()) > 1}


class Answering(FactBase[tuple[str, ...]]):
    """Those of some peers that have proved who they are of late, or do so when they are spoken to."""

    def command(self, device: str, peers: Sequence[tuple[str, tuple[str, ...]]]) -> str:
        """`peers` are addresses, each with the keys by which it may be known."""
        words = [device, *(f"{address}={','.join(keys)}" for address, keys in peers)]
        return f"python3 -I - {shlex.join(words)} <<'STACKCTL'\n{_SPEAK}STACKCTL\n"

    @staticmethod
    def default() -> tuple[str, ...]:
        """None."""
        return ()

    def process(self, output: Iterable[str]) -> tuple[str, ...]:
        """One address a line."""
        return tuple(output)


def shared(spec: WireguardSpec) -> Shared | None:
    """How the host's shared keys are made; None where there are to be none."""
    if spec.preshared is None:
        return None
    master = secret.value(spec.preshared)
    if len(master) < SHORTEST:
        what = f"is shorter than {SHORTEST} characters, and keys are derived from it"
        hint = "make one with `openssl rand -base64 32`"
        raise FindingsError(Finding(f"secret {spec.preshared.written}", what, hint))
    return lambda name: text.shared_key(master, spec.epoch, spec.host, name)


def left_behind(
    spec: WireguardSpec, before: str, former: Mapping[str, str], make: Shared | None, absent: Sequence[Peer]
) -> tuple[str, ...]:
    """Silent ones among the `absent` peers with which the host will share another key; FindingsError: one answers.

    `before` is the interface's file, and `former` has keys that names had before. A silent peer is either gone, or has
    the new key already and waits for this host to have it.
    """
    changing = dict(_changing(spec, before, make, absent))
    if not changing:
        return ()
    peers = tuple(
        (str(peer.address), tuple(key for key in (public, former.get(peer.name)) if key))
        for peer, public in changing.items()
    )
    answering = host.get_fact(Answering, device=spec.device, peers=peers)
    cut = [peer.name for peer in changing if str(peer.address) in answering]
    if cut:
        raise FindingsError(_refusal(spec.host, cut))
    return tuple(peer.name for peer in changing)


def _changing(
    spec: WireguardSpec, before: str, make: Shared | None, absent: Sequence[Peer]
) -> Iterator[tuple[Peer, str]]:
    """Peers that will have another key with the host, and their public ones; a host keeps its address with a new name."""
    held = text.entries(before)
    if not absent or not held or (make is None and not any(entry.shared for entry in held)):
        return
    has = host.get_fact(SharedKeys, file=config_file(spec.device))
    by_name, by_address = {entry.name: entry for entry in held}, {entry.allowed[0]: entry for entry in held}
    for peer in absent:
        entry = by_name.get(peer.name) or by_address.get(str(peer.allowed[0]))
        if entry is not None and has.get(entry.key) != _fingerprint(make, peer.name):
            yield peer, entry.key


def _fingerprint(make: Shared | None, name: str) -> str | None:
    return None if make is None else hashlib.sha256(make(name).encode()).hexdigest()


def _refusal(own: str, others: Sequence[str]) -> Finding:
    one = len(others) == 1
    keys, do = ("the key shared", "does") if one else ("the keys shared", "do")
    what = (
        f"{keys} with {some(others)} {'changes' if one else 'change'}, and {'it' if one else 'they'} {do} not take part"
        f" in this run, or {do} not get that far: within {FRESH // 60} minutes {own} would lose {'it' if one else 'them'}"
    )
    both = f"`--limit {','.join((own, *others))}`" if len(others) <= SHOWN else "no `--limit`"
    hint = (
        f"apply to all of them at once, with {both}; take one that cannot be reached out of the inventory meanwhile;"
        f" one that has the new key already falls silent here within {FRESH // 60} minutes: then apply again"
    )
    return Finding("WireGuard", what, hint)


# A word has WireGuard prove itself to the peer, and the peer to it, whatever becomes of the word.
_SPEAK = f"""import socket, subprocess, sys, time
device, *rows = sys.argv[1:]
peers = {{address: keys.split(",") for address, keys in (row.split("=", 1) for row in rows)}}
speech = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
speech.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
end = time.monotonic() + {ANSWERED}
while True:
    shown = subprocess.run(["wg", "show", device, "latest-handshakes"], stdout=subprocess.PIPE, text=True)
    times = dict(row.split("\\t") for row in shown.stdout.splitlines())
    ages = {{each: min(time.time() - int(times.get(key, 0)) for key in keys) for each, keys in peers.items()}}
    silent = [each for each, age in ages.items() if age >= {FRESH}]
    if not silent or time.monotonic() >= end:
        break
    for each in silent:
        try:
            speech.sendto(b"", (each, 9))
        except OSError:
            pass  # there is no way to it at the moment
    time.sleep(0.5)
print(*(each for each in peers if each not in silent), sep="\\n")
"""
