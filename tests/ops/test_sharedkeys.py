"""Keys that two hosts share, changed while one of them takes no part: refused where that would cut the two off."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep

import pytest

from stackctl.mesh.interface import shared_key
from stackctl.ops import secret
from stackctl.ops.sharedkeys import SharedKeys
from tests.mesh.rooms import Room, missing, rooms
from tests.ops.wireguardhost import MASTER, NEW, PLAIN, SHARED, Host

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}")

EPOCH = SHARED.replace("preshared: master", "preshared: master, preshared_epoch: 2")
OTHER = "another-hour-of-rain-on-a-tin-roof-in-april"
FILE = """\
[Interface]
PrivateKey = {private}
Address = 10.77.0.2/32
ListenPort = 51820
[Peer]
PublicKey = {public}
AllowedIPs = 10.77.0.1/32
"""


class Pair:
    """gpu1, which is applied to, and gpu2, which is there and is not; gpu3 is not there yet."""

    def __init__(self, host: Host, other: Room) -> None:
        self.host, self.other = host, other
        self.private = other.run("wg", "genkey")
        self.key = other.run("wg", "pubkey", text=self.private).strip()
        self.both = {"gpu2": {"wireguard/1": self.key}}

    def begin(self, environment: str) -> None:
        """Both have the keys of that inventory."""
        self.host.apply(environment, self.both)
        public = self.host.room.run("wg", "show", "wg0", "public-key").strip()
        path = self.other.folder / "etc/wg0.conf"
        path.write_text(FILE.format(private=self.private.strip(), public=public))
        path.chmod(0o600)
        self.other.run("wg-quick", "up", "wg0")
        self.public = public
        if environment != PLAIN:
            self.shares(shared_key(MASTER, 1, "gpu1", "gpu2"))

    def shares(self, key: str) -> None:
        """Have gpu2 share this key with gpu1."""
        self.other.run("wg", "set", "wg0", "peer", self.public, "preshared-key", "/dev/stdin", text=key)

    def refusal(self, environment: str) -> tuple[str, str | None]:
        """What is said of gpu1 alone."""
        [finding] = self.host.plan(environment, {}).findings
        return finding.what, finding.hint

    def hears(self) -> bool:
        """Whether gpu2 proves to gpu1 who it is, when it is spoken to for a minute at most."""
        word = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('10.77.0.2', 9))"
        end = monotonic() + 60
        while monotonic() < end:
            self.host.room.run("python3", "-c", word)
            rows = self.host.room.run("wg", "show", "wg0", "latest-handshakes").splitlines()
            if dict(row.split("\t") for row in rows)[self.key] != "0":
                return True
            sleep(0.5)
        return False


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setenv("MESH_MASTER", MASTER)
    secret._read.cache_clear()
    with rooms(tmp_path / "rooms", ["10.0.0.11", "10.0.0.12"]) as [room, other]:
        host = Host(room, tmp_path, monkeypatch)
        yield Pair(host, other)
        host.close()
    secret._read.cache_clear()


def another_secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MESH_MASTER", OTHER)
    secret._read.cache_clear()
    return SHARED


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (SHARED, lambda _: EPOCH),
        (SHARED, another_secret),
        (PLAIN, lambda _: SHARED),
        (SHARED, lambda _: PLAIN),
    ],
    ids=["epoch", "secret", "on", "off"],
)
def test_a_change_on_one_side_is_refused_while_the_other_answers(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, before: str, after: Callable[[pytest.MonkeyPatch], str]
) -> None:
    pair.begin(before)
    kept = pair.host.config.read_text()

    what, hint = pair.refusal(after(monkeypatch))

    assert what == (
        "WireGuard: the key shared with gpu2 changes, and it does not take part in this run, or does not get that far:"
        " within 3 minutes gpu1 would lose it"
    )
    assert hint == (
        "apply to all of them at once, with `--limit gpu1,gpu2`; take one that cannot be reached out of the inventory"
        " meanwhile; one that has the new key already falls silent here within 3 minutes: then apply again"
    )
    assert pair.host.config.read_text() == kept


def test_a_change_on_both_sides_is_made(pair: Pair) -> None:
    pair.begin(SHARED)

    assert pair.host.apply(EPOCH, pair.both) == [
        "tell wg0: its file changes; gpu3 joins once its key is known"
    ]

    pair.shares(shared_key(MASTER, 2, "gpu1", "gpu2"))
    assert pair.hears()


def test_a_host_that_shares_the_new_key_already_is_followed(pair: Pair) -> None:
    """As after a run that broke off between the two."""
    pair.begin(SHARED)
    pair.shares(shared_key(MASTER, 2, "gpu1", "gpu2"))

    assert pair.host.apply(EPOCH, {}) == [
        (
            "tell wg0: its file changes; gpu3 joins once its key is known,"
            " gpu2 is silent, and is back once an apply has reached it too"
        )
    ]

    assert pair.hears()


def test_a_host_that_is_gone_holds_nobody_up(pair: Pair) -> None:
    pair.begin(SHARED)
    pair.other.run("wg-quick", "down", "wg0")

    [reason] = pair.host.apply(EPOCH, {})

    assert reason.endswith("gpu2 is silent, and is back once an apply has reached it too")


def test_another_change_on_one_side_asks_nobody(pair: Pair) -> None:
    pair.begin(SHARED)

    assert pair.host.apply(SHARED, {"gpu3": {"wireguard/1": NEW}}) == ["tell wg0: gpu3 joins"]


def test_a_host_that_is_renamed_alone_is_refused(pair: Pair) -> None:
    pair.begin(SHARED)

    what, _ = pair.refusal(SHARED.replace("  gpu1:", "  box:"))

    assert what.startswith("WireGuard: the key shared with gpu2 changes")


def test_a_fingerprint_is_all_that_a_host_tells_of_a_shared_key(pair: Pair) -> None:
    pair.begin(SHARED)

    command = SharedKeys().command(file="/etc/wireguard/wg0.conf")
    told = pair.host.room.run("sh", "-s", text=command)

    key = shared_key(MASTER, 1, "gpu1", "gpu2")
    assert f"PresharedKey = {key}\n" in pair.host.config.read_text()
    assert told == f"{pair.key} {sha256(key.encode()).hexdigest()}  -\n"
