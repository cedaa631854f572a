"""An interface's file with its keys, and what is said of the difference between it and a kernel."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.mesh.interface import (
    Running,
    Seen,
    changed,
    coming,
    filled,
    reshaped,
    same_keys,
    shape,
    shared_key,
    strayed,
)

GOLDEN = Path(__file__).parents[1] / "golden/mesh/wireguard"
A, B, C = (letter * 42 + "A=" for letter in "abc")
MASTER = "an-hour-of-rain-on-a-tin-roof-in-april"
RENDERED = """\
# Written by stackctl
[Interface]
# gpu1, key 1
Address = 10.77.0.1/32
ListenPort = 51820
FwMark = 0x100
MTU = 1420
PostUp = ip -4 route replace 10.77.0.0/24 dev %i proto 202 src 10.77.0.1

[Peer]
# gpu2, key 2
PublicKey = <public key of gpu2>
PresharedKey = <key shared with gpu2>
AllowedIPs = 10.77.0.2/32
Endpoint = 10.0.0.2:51820

[Peer]
# gpu3, key 1
PublicKey = <public key of gpu3>
PresharedKey = <key shared with gpu3>
AllowedIPs = 10.77.0.3/32, 172.30.0.0/24
PersistentKeepalive = 25
"""
TEXT = filled(RENDERED, {"gpu2": (A, 2), "gpu3": (B, 1)}, lambda _: C)
RUNNING = Running(
    public="own",
    port=51820,
    mark=0x100,
    mtu=1420,
    addresses=("10.77.0.1/32",),
    routes=("10.77.0.0/24",),
    peers={
        A: Seen(("10.77.0.2/32",), "10.0.0.2:51820", None, shared=True),
        B: Seen(("172.30.0.0/24", "10.77.0.3/32"), None, 25, shared=True),
    },
)


def test_a_peer_without_a_key_is_left_out() -> None:
    assert filled(RENDERED, {"gpu2": (A, 2)}, None) == (
        RENDERED.partition("\n[Peer]")[0] + f"\n[Peer]\n# gpu2, key 2\nPublicKey = {A}\n"
        "PresharedKey = (hidden)\nAllowedIPs = 10.77.0.2/32\nEndpoint = 10.0.0.2:51820\n"
    )


def test_a_key_of_another_number_than_is_wanted_goes_by_its_own() -> None:
    assert "# gpu2, key 1\n" in filled(RENDERED, {"gpu2": (A, 1)}, None)


def test_all_keys_in_their_places_are_the_rendered_file() -> None:
    known = {name: (coming(name), number) for name, number in (("gpu2", 2), ("gpu3", 1))}

    assert filled(RENDERED, known, lambda name: f"<key shared with {name}>") == RENDERED


def test_both_sides_come_to_the_same_shared_key_and_nobody_else_does() -> None:
    key = shared_key(MASTER, 1, "gpu1", "gpu2")

    assert key == shared_key(MASTER, 1, "gpu2", "gpu1") == "RWVDlNeY+iBWfxYIaQIAe3prnbRH7vzNWNgtACifU7A="
    others = [
        shared_key(MASTER, 1, "gpu1", "gpu3"),
        shared_key(MASTER, 2, "gpu1", "gpu2"),
        shared_key(MASTER + "s", 1, "gpu1", "gpu2"),
    ]
    assert len({key, *others}) == 4


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (TEXT, TEXT, []),
        (filled(RENDERED, {"gpu2": (A, 2)}, lambda _: C), TEXT, ["gpu3 joins"]),
        (TEXT, filled(RENDERED, {"gpu2": (A, 2)}, lambda _: C), ["gpu3 leaves"]),
        (TEXT, TEXT.replace(A, C), ["gpu2 has a new key"]),
        (TEXT, TEXT.replace("10.0.0.2:", "10.0.0.9:"), ["gpu2 is reached otherwise"]),
        (TEXT, TEXT.replace("gpu1, key 1", "gpu1, key 2"), ["its own key becomes the one of number 2"]),
        ("", TEXT, ["gpu2 joins", "gpu3 joins"]),
    ],
)
def test_what_becomes_of_the_peers_is_told(before: str, after: str, expected: list[str]) -> None:
    assert list(changed(before, after)) == expected


def test_peers_and_routes_change_while_it_runs_and_nothing_else_does() -> None:
    assert shape(TEXT) == shape(TEXT.replace(A, C).replace("10.77.0.0/24 dev", "10.78.0.0/24 dev"))
    assert shape(TEXT) != shape(TEXT.replace("MTU = 1420", "MTU = 1412"))


def test_an_interface_as_its_file_says_has_not_strayed() -> None:
    assert list(strayed(TEXT, RUNNING, {})) == []
    assert list(reshaped(TEXT, RUNNING)) == []


def with_peer(key: str, peer: Seen | None) -> Running:
    """The interface with one peer otherwise, or without it."""
    peers = {**RUNNING.peers, **({key: peer} if peer else {})}
    return replace(RUNNING, peers=peers if peer else {each: peers[each] for each in peers if each != key})


@pytest.mark.parametrize(
    ("running", "expected"),
    [
        (with_peer(A, None), "gpu2 is not among its peers"),
        (with_peer(C, RUNNING.peers[A]), "a peer cccccccc… is none of ours"),
        (with_peer(A, replace(RUNNING.peers[A], allowed=())), "gpu2 has other networks"),
        (with_peer(A, replace(RUNNING.peers[A], shared=False)), "gpu2 has other settings"),
        (with_peer(B, replace(RUNNING.peers[B], keepalive=None)), "gpu3 has other settings"),
        (with_peer(A, replace(RUNNING.peers[A], endpoint=None)), "gpu2 has no endpoint"),
        (replace(RUNNING, mark=0), "its port or its mark is another"),
        (replace(RUNNING, routes=()), "no route leads to 10.77.0.0/24"),
    ],
)
def test_how_an_interface_has_strayed_is_told(running: Running, expected: str) -> None:
    assert list(strayed(TEXT, running, {})) == [expected]


def test_a_peer_that_roamed_has_not_strayed() -> None:
    roamed = with_peer(A, replace(RUNNING.peers[A], endpoint="192.0.2.7:40000"))

    assert list(strayed(TEXT, roamed, {})) == []


def test_a_key_on_its_way_is_no_stray() -> None:
    bare = with_peer(C, RUNNING.peers[A])
    peers = {**bare.peers, A: replace(bare.peers[A], allowed=())}

    assert list(strayed(TEXT, replace(bare, peers=peers), {"gpu2": C})) == []


def test_names_with_one_key_are_told_together() -> None:
    assert list(same_keys({"a": A, "b": B, "c": A})) == [("a", "c")]


@pytest.mark.skipif(shutil.which("wg-quick") is None, reason="needs wireguard-tools")
@pytest.mark.parametrize("file", sorted(GOLDEN.rglob("wg0.conf")), ids=lambda path: path.parts[-4])
def test_what_a_reviewer_has_seen_is_taken_apart_by_wireguards_own_tool(tmp_path: Path, file: Path) -> None:
    copy = tmp_path / "wg0.conf"
    copy.write_text(file.read_text())
    copy.chmod(0o600)

    done = subprocess.run(["wg-quick", "strip", copy], capture_output=True, text=True, check=True)

    rows = [row for row in done.stdout.splitlines() if row and row[0] != "#"]
    assert rows[:3] == ["[Interface]", "ListenPort = 51820", "FwMark = 0x100"]
    assert {row.partition(" = ")[0] for row in rows[3:]} <= {
        "[Peer]",
        "PublicKey",
        "PresharedKey",
        "AllowedIPs",
        "Endpoint",
        "PersistentKeepalive",
    }
