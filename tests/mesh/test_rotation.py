"""Keys that change under running traffic, on hosts of namespaces with WireGuard as a program."""

import fcntl
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackctl.agents import wireguard_peers
from tests.mesh.keyedhosts import COUNT, WAIT, Fleet, ages, until
from tests.mesh.rooms import Room, missing, rooms

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}")

CLIENT = """
import os, sys, time, urllib.request
failed = asked = 0
while asked < 20 or not os.path.exists(sys.argv[1]):
    asked += 1
    try:
        with urllib.request.urlopen("http://10.77.0.2:8000/", timeout=30) as answer:
            answer.read()
    except OSError:
        failed += 1
    time.sleep(0.01)
print(asked, failed)
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with rooms(tmp_path / "rooms", [f"10.0.0.{11 + index}" for index in range(COUNT)]) as made:
        found = Fleet(tmp_path / "inventories", made)
        found.up()
        yield found


@contextmanager
def asking(room: Room) -> Iterator[None]:
    """Requests to h1, one after another for the length of a block, none of which may fail."""
    end = room.folder / "end"
    words = room.words("python3", "-c", CLIENT, str(end))
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as client:
        try:
            yield
        finally:
            end.touch()
            told, _ = client.communicate(timeout=WAIT)
            end.unlink()
    asked, failed = map(int, told.split())
    assert asked >= 20
    assert failed == 0


@pytest.fixture
def serving(fleet: Fleet, tmp_path: Path) -> Iterator[None]:
    """A server on h1, in the mesh alone."""
    command = ("python3", "-m", "http.server", "8000", "--bind", "10.77.0.2", "--directory", str(tmp_path))
    quiet = subprocess.DEVNULL
    with subprocess.Popen(fleet.rooms[1].words(*command), stdout=quiet, stderr=quiet) as server:
        listening = ("sh", "-c", "ss -Hltn 'sport = 8000' | grep -c . || true")
        until(lambda: fleet.rooms[1].run(*listening).strip() == "1")
        yield
        server.kill()


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("numbers", [(1, 2, 1), (2, 2, 2)], ids=["one host", "all hosts"])
def test_no_request_is_lost_while_keys_change(fleet: Fleet, numbers: tuple[int, ...]) -> None:
    before = [fleet.own(index) for index in range(COUNT)]
    with asking(fleet.rooms[0]), asking(fleet.rooms[2]):
        time.sleep(1)
        files = fleet.files(numbers)
        wanted = [fleet.key(index, number) for index, number in enumerate(numbers)]
        for index in (1, 0, 2):  # the host that is asked goes first, before any other knows its new key
            fleet.write(index, files[index])
            fleet.rooms[index].sync()
            time.sleep(0.5)
        until(lambda: [fleet.own(index) for index in range(COUNT)] == wanted)
        for room in fleet.rooms:
            until(lambda room=room: not (room.folder / "following").exists())  # type: ignore[misc]

    changed = [key for key, old in zip(wanted, before, strict=True) if key != old]
    assert len(changed) == sum(number == 2 for number in numbers)
    for index, room in enumerate(fleet.rooms):
        assert room.peers() == {
            key: [f"10.77.0.{1 + other}/32"] for other, key in enumerate(wanted) if other != index
        }


def test_a_host_keeps_its_key_while_a_peer_that_it_talks_to_does_not_know_the_new_one(fleet: Fleet) -> None:
    before = fleet.own(1)
    files = fleet.files((1, 2, 1))

    fleet.write(1, files[1])
    fleet.rooms[1].sync()
    fleet.write(0, files[0])
    fleet.rooms[0].sync()
    time.sleep(14)  # longer than it gives those that are not there
    assert fleet.own(1) == before

    fleet.write(2, files[2])
    fleet.rooms[2].sync()
    until(lambda: fleet.own(1) == fleet.key(1, 2))


def test_a_host_does_not_wait_for_a_peer_that_is_gone(fleet: Fleet) -> None:
    fleet.rooms[2].run("ip", "link", "set", "eth0", "down")
    fleet.rooms[2].run("wg-quick", "down", "wg0")
    files = fleet.files((1, 2, 1))

    for index in (1, 0):
        hasty(fleet.rooms[index])
        fleet.write(index, files[index])
        fleet.rooms[index].sync()

    until(lambda: fleet.own(1) == fleet.key(1, 2))


def _settled(fleet: Fleet, numbers: Sequence[int]) -> bool:
    """All use these keys, know each other by them alone, and follow nothing more."""
    keys = [fleet.key(index, number) for index, number in enumerate(numbers)]
    return all(
        fleet.own(index) == keys[index]
        and not (room.folder / "following").exists()
        and room.peers()
        == {key: [f"10.77.0.{1 + other}/32"] for other, key in enumerate(keys) if other != index}
        for index, room in enumerate(fleet.rooms)
    )


def hasty(room: Room) -> None:
    """Have a host give up on others in seconds, for what takes minutes otherwise."""
    text = room.agent.read_text()
    assert "FRESH = 180\n" in text
    room.agent.write_text(text.replace("FRESH = 180\n", "FRESH = 20\n"))


@pytest.fixture
def came_back(fleet: Fleet) -> Fleet:
    """Hosts h0 and h1 have changed their keys while h2 was away, which is there again and knows nothing of it."""
    until(lambda: all("0" not in ages(fleet, index) for index in range(COUNT)))
    fleet.rooms[2].run("ip", "link", "set", "eth0", "down")
    for index, text in enumerate(fleet.files((2, 2, 1))[:2]):
        hasty(fleet.rooms[index])
        fleet.write(index, text)
        fleet.rooms[index].sync()
    until(lambda: [fleet.own(index) for index in (0, 1)] == [fleet.key(index, 2) for index in (0, 1)])
    fleet.rooms[2].run("ip", "link", "set", "eth0", "up")
    return fleet


def test_a_host_that_was_away_while_all_others_changed_their_keys_comes_in_with_the_next_apply_to_it(
    came_back: Fleet,
) -> None:
    came_back.write(2, came_back.written[-1][2])
    came_back.rooms[2].sync()

    until(lambda: _settled(came_back, (2, 2, 1)))


@pytest.mark.parametrize("booted", [(), (0, 1, 2)], ids=["nobody", "all"])
def test_a_host_that_was_away_changes_its_own_key_with_the_next_apply_and_nobody_keeps_a_former_one(
    came_back: Fleet, booted: Sequence[int]
) -> None:
    for index in booted:
        came_back.rooms[index].run("systemctl", "restart", "wg-quick@wg0")

    for index, text in enumerate(came_back.files((2, 2, 2))):
        came_back.write(index, text)
        came_back.rooms[index].sync()

    until(lambda: _settled(came_back, (2, 2, 2)), 300)
    until(lambda: all("0" not in ages(came_back, index) for index in range(COUNT)))
    came_back.key(0, 3)  # the next one, which no file names yet
    for room in came_back.rooms:
        room.sync()  # a host that was booted has followed nobody, and sees to it with the next change
        assert not list((room.folder / "etc").glob("stackctl-1.*"))
    assert (came_back.rooms[0].folder / "etc/stackctl-3.key").exists()


@pytest.mark.usefixtures("serving")
def test_an_endpoint_that_was_learned_outlasts_a_change_of_peers(fleet: Fleet) -> None:
    fleet.rooms[0].run("ip", "addr", "del", "10.0.0.11/24", "dev", "eth0")
    fleet.rooms[0].run("ip", "addr", "add", "10.0.0.99/24", "dev", "eth0")
    with asking(fleet.rooms[0]):
        time.sleep(1)
    endpoints = sorted(fleet.rooms[1].run("wg", "show", "wg0", "endpoints").splitlines())
    assert any("10.0.0.99:51820" in endpoint for endpoint in endpoints)

    fleet.rooms[1].sync()

    assert sorted(fleet.rooms[1].run("wg", "show", "wg0", "endpoints").splitlines()) == endpoints


def test_a_new_key_on_its_way_is_taken_up_again_after_a_boot(fleet: Fleet) -> None:
    """The host that was told of it comes up while its peer still uses the former key."""
    room, before = fleet.rooms[0], fleet.own(1)
    until(lambda: "0" not in ages(fleet, 0))
    fleet.write(0, fleet.files((1, 2, 1))[0])
    room.sync()
    assert room.peers()[before] == ["10.77.0.2/32"]

    room.run("sh", "-c", f"kill $(cat {room.folder}/follower)")
    until(lambda: not (room.folder / "following").exists())
    room.run("systemctl", "restart", "wg-quick@wg0")

    assert room.peers()[before] == ["10.77.0.2/32"]
    assert room.peers()[fleet.key(1, 2)] == []


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Somebody else is at an interface for the length of a block."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_change_of_peers_waits_for_another_that_is_being_made(fleet: Fleet) -> None:
    room, before = fleet.rooms[0], fleet.rooms[0].peers()
    fleet.write(0, fleet.files((1, 2, 1))[0])

    with held(room.folder / "state"):
        syncing = subprocess.Popen(room.words("systemctl", "reload", "wg-quick@wg0"))
        time.sleep(2)
        assert (syncing.poll(), room.peers()) == (None, before)
    assert syncing.wait(WAIT) == 0

    assert fleet.key(1, 2) in room.peers()


def test_a_key_that_speaks_is_given_its_addresses_once_a_change_that_is_being_made_is_over(
    fleet: Fleet,
) -> None:
    room, new = fleet.rooms[0], fleet.key(1, 2)
    until(lambda: "0" not in ages(fleet, 0))
    files = fleet.files((1, 2, 1))
    for index in (0, 2):
        fleet.write(index, files[index])
        fleet.rooms[index].sync()
    assert room.peers()[new] == []

    with held(room.folder / "state"):
        fleet.rooms[1].run("sh", "-c", "wg set wg0 private-key /etc/wireguard/stackctl-2.key")
        until(lambda: _handshake(room, new))
        time.sleep(1)
        assert room.peers()[new] == []

    until(lambda: room.peers().get(new) == ["10.77.0.2/32"])


def _handshake(room: Room, key: str) -> bool:
    """Whether the peer with that key has proved who it is."""
    rows = room.run("wg", "show", "wg0", "latest-handshakes").splitlines()
    room.run("python3", "-c", "import socket; socket.socket(2, 2).sendto(b'', ('10.77.0.2', 9))")
    return any(row.split("\t")[0] == key and row.split("\t")[1] != "0" for row in rows)


def test_who_waits_in_vain_for_another_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wireguard_peers, "STATE", tmp_path)
    monkeypatch.setattr(wireguard_peers, "PATIENCE", 0)

    with held(tmp_path), pytest.raises(SystemExit, match=r"another holds .*/lock for more than 0 s"):  # noqa: SIM117
        with wireguard_peers.alone():
            pass


def test_what_is_rendered_is_what_wireguard_takes(fleet: Fleet) -> None:
    room = fleet.rooms[0]
    before = room.run("wg", "showconf", "wg0").splitlines()

    room.run("wg", "setconf", "wg0", "/dev/stdin", text=room.run("wg-quick", "strip", "wg0"))

    after = room.run("wg", "showconf", "wg0").splitlines()
    assert sorted(row for row in before if not row.startswith("PrivateKey = ")) == sorted(after)
