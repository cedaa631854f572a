"""WireGuard on a host: planned with what others tell, carried out in a network of its own."""

import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from stackctl.capabilities import load_fleet
from stackctl.capabilities.mesh import MeshSpec
from stackctl.ops import secret, wireguard
from stackctl.ops.fleet import Introduction
from stackctl.render import job
from tests.agents.wireguard import public_of
from tests.inventory import project
from tests.mesh.rooms import Room, missing, rooms
from tests.ops.seen import seen
from tests.ops.wireguardhost import ALL, MASTER, NEW, PLAIN, SHARED, TWO, Host

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A bare host."""
    with rooms(tmp_path / "rooms", ["10.0.0.11"]) as [made]:
        yield made


@pytest.fixture
def host(room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    host = Host(room, tmp_path, monkeypatch)
    yield host
    host.close()


def test_a_bare_host_gets_a_key_of_its_own_and_the_peers_that_are_known(host: Host) -> None:
    assert host.apply() == [
        "make the host's key",
        "have wg0 at every boot; start wg0; gpu3 joins once its key is known",
    ]

    private = (host.room.folder / "etc/stackctl-1.key").read_text()
    assert host.room.run("wg", "show", "wg0", "public-key").strip() == public_of(private)
    assert host.room.peers() == {TWO: ["10.77.0.2/32"]}
    assert stat.S_IMODE(host.config.stat().st_mode) == 0o600
    assert private.strip() not in host.config.read_text()
    assert "10.77.0.1/32" in host.room.run("ip", "-o", "addr", "show", "wg0")
    assert "10.77.0.0/24 dev wg0 proto 202 src 10.77.0.1" in host.room.run("ip", "route").replace(
        " scope link", ""
    )


def test_a_plan_shows_peers_whose_keys_the_apply_will_make(host: Host) -> None:
    plan = host.plan(told={"gpu2": {"wireguard/makes": "1"}, "gpu3": {"wireguard/1": TWO}})

    [file] = plan.changes[1].files
    assert "+PublicKey = <public key of gpu2>" in file.diff
    assert f"+PublicKey = {TWO}" in file.diff
    assert plan.changes[1].reason == "have wg0 at every boot; start wg0"


def test_a_key_that_is_still_to_be_made_once_all_have_met_is_left_out(host: Host) -> None:
    host.apply(told={"gpu1": {"wireguard/met": "yes"}, "gpu2": {"wireguard/makes": "1"}})

    assert host.room.peers() == {}


def test_a_peer_that_tells_nothing_stays_as_the_host_knows_it(host: Host) -> None:
    host.apply()

    assert host.apply(told={"gpu3": {"wireguard/1": NEW}}) == ["tell wg0: gpu3 joins"]
    assert host.room.peers() == {TWO: ["10.77.0.2/32"], NEW: ["10.77.0.3/32"]}


def test_a_host_that_leaves_the_inventory_leaves_the_interface(host: Host) -> None:
    host.apply()
    fewer = PLAIN.replace("  gpu2: {address: 10.0.0.12, mesh: {address: 10.77.0.2}}\n", "")

    assert host.apply(fewer) == ["tell wg0: gpu2 leaves; gpu3 joins once its key is known"]
    assert host.room.peers() == {}
    assert (host.room.folder / "done").read_text() == "restart\nreload\n"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("wg", "set", "wg0", "peer", TWO, "remove"), "tell wg0: gpu2 is not among its peers"),
        (
            ("wg", "set", "wg0", "peer", TWO, "allowed-ips", "10.77.0.2/32,10.9.0.0/16"),
            "tell wg0: gpu2 has other networks",
        ),
        (
            ("wg", "set", "wg0", "peer", NEW, "allowed-ips", "10.77.0.9/32"),
            "tell wg0: a peer kO9nq5lG… is none of ours",
        ),
        (("wg", "set", "wg0", "fwmark", "0x7"), "tell wg0: its port or its mark is another"),
        (("ip", "route", "del", "10.77.0.0/24"), "tell wg0: no route leads to 10.77.0.0/24"),
        (("ip", "link", "set", "wg0", "mtu", "1300"), "restart wg0: its MTU is 1300"),
        (("wg-quick", "down", "wg0"), "start wg0"),
    ],
)
def test_what_somebody_changes_by_hand_is_put_right(host: Host, change: tuple[str, ...], told: str) -> None:
    known = {**ALL, "gpu3": {"wireguard/1": "8BQJ1B3mFX2bVjqVY1cCcEJmXTxmyDIVJbXpIPjxj0I="}}
    host.apply(told=known)
    host.room.run(*change)

    assert host.apply(told=known) == [told]
    assert host.room.peers()[TWO] == ["10.77.0.2/32"]


def test_another_private_key_is_put_right(host: Host) -> None:
    host.apply()
    host.room.run("sh", "-c", "wg genkey | wg set wg0 private-key /dev/stdin")

    assert host.apply() == ["tell wg0: it runs with another key; gpu3 joins once its key is known"]


def test_what_it_keeps_is_noted_for_the_receipt(host: Host) -> None:
    host.apply()

    things = seen(host.run())
    public = host.room.run("wg", "show", "wg0", "public-key").strip()
    assert things["WireGuard key 1"] == {"public": public}
    assert things["interface wg0"] == {"state": "active", "boot": "enabled", "peers": "1"}
    assert things["file /etc/wireguard/wg0.conf"]["mode"] == "600"


def test_two_hosts_with_one_key_are_found_in_the_plan(host: Host) -> None:
    plan = host.plan(told={"gpu2": {"wireguard/1": TWO}, "gpu3": {"wireguard/1": TWO}})

    [finding] = plan.findings
    assert finding.what == "WireGuard: gpu2 and gpu3 have one key between them, as copies of a machine do"
    assert finding.hint == ("remove /etc/wireguard/stackctl* on all but one of them, then apply again")


def test_a_host_with_the_key_of_another_is_found(host: Host) -> None:
    host.apply()
    own = (host.room.folder / "etc/stackctl-1.pub").read_text().strip()

    [finding] = host.plan(told={"gpu2": {"wireguard/1": own}}).findings
    assert "gpu1 and gpu2 have one key" in finding.what or "gpu2 and gpu1 have one key" in finding.what


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the secret that shared keys are made from."""

    def set_(value: str) -> None:
        monkeypatch.setenv("MESH_MASTER", value)
        secret._read.cache_clear()

    set_(MASTER)
    return set_


def test_shared_keys_are_on_the_host_and_nowhere_else(host: Host, master: Callable[[str], None]) -> None:
    plan = host.plan(SHARED)
    host.apply(SHARED)

    rows = dict(
        line.split("\t") for line in host.room.run("wg", "show", "wg0", "preshared-keys").splitlines()
    )
    assert f"PresharedKey = {rows[TWO]}\n" in host.config.read_text()
    assert rows[TWO] not in repr(plan)
    assert "+PresharedKey = (hidden)" in plan.changes[1].files[0].diff
    assert MASTER not in host.config.read_text()
    kept = host.room.folder / "stackctl"
    assert subprocess.run(["grep", "-rqF", rows[TWO], kept], check=False).returncode == 1
    master("another-hour-of-rain-on-a-tin-roof-in-april")
    plan = host.plan(SHARED)
    assert (plan.changes[0].files[0].reason, plan.changes[0].files[0].diff) == ("shared keys change", "")


def test_a_secret_too_short_to_derive_keys_from_is_refused(host: Host, master: Callable[[str], None]) -> None:
    master("hunter2")

    [finding] = host.plan(SHARED).findings
    assert finding.what == (
        "secret env:MESH_MASTER: is shorter than 32 characters, and keys are derived from it"
    )


def test_a_peers_new_key_takes_the_place_of_one_that_was_never_heard(host: Host) -> None:
    host.apply()
    newer = PLAIN.replace("10.77.0.2}", "10.77.0.2, key: 2}")

    assert host.reasons(newer, ALL) == []
    assert host.apply(newer, {"gpu2": {"wireguard/1": TWO, "wireguard/2": NEW}}) == [
        "tell wg0: gpu2 has a new key; gpu3 joins once its key is known"
    ]
    assert host.room.peers() == {NEW: ["10.77.0.2/32"]}


def test_a_hosts_own_new_key_is_used_once_nobody_can_miss_it(host: Host) -> None:
    alone = "network: {mesh: {subnet: 10.77.0.0/24}}\nhosts: {gpu1: {address: 10.0.0.11, mesh: {address: 10.77.0.1KEY}}}"
    host.apply(alone.replace("KEY", ""))

    assert host.apply(alone.replace("KEY", ", key: 2")) == [
        "make key 2: used once all peers know it",
        "tell wg0: its own key becomes the one of number 2",
    ]
    until(lambda: not (host.room.folder / "etc/stackctl-1.key").exists())
    private = (host.room.folder / "etc/stackctl-2.key").read_text()
    assert host.room.run("wg", "show", "wg0", "public-key").strip() == public_of(private)
    assert host.reasons(alone.replace("KEY", ", key: 2")) == []
    [old] = host.plan(alone.replace("KEY", "")).findings
    assert old.what == "WireGuard: the host has its key 2 already, and the inventory says 1"


def test_a_plan_says_who_keeps_a_new_key_from_being_used(host: Host) -> None:
    host.apply()

    [first, _] = host.reasons(PLAIN.replace("10.77.0.1}", "10.77.0.1, key: 2}"))
    assert first == (
        "make key 2: used once all peers know it; as long as gpu3, not part of this run, can be reached,"
        " the former one stays"
    )


def until(done: Callable[[], bool]) -> None:
    """Wait, for some seconds at most."""
    end = monotonic() + 120
    while not done():
        assert monotonic() < end
        sleep(0.05)


def introduction(folder: Path, number: int = 1) -> Introduction:
    key = "" if number == 1 else f", key: {number}"
    text = PLAIN.replace("10.77.0.1}", f"10.77.0.1{key}}}")
    folder.mkdir()
    found = project(folder, text)
    [part] = [
        part for part in job(load_fleet(found.root, "test"), found, "gpu1").parts if part.capability == "mesh"
    ]
    assert isinstance(part.spec, MeshSpec)
    made = wireguard.introduction(part.spec)
    assert made is not None
    return made


def test_a_host_tells_the_key_that_it_made_and_takes_that_one_into_use(host: Host, tmp_path: Path) -> None:
    first = introduction(tmp_path / "i")
    assert host.room.run("sh", "-s", text=first.tell) == "wireguard/makes 1\n"
    assert list((host.room.folder / "etc").iterdir()) == []

    told = host.room.run("sh", "-s", text=first.make)
    key, met = told.splitlines()
    assert met == "wireguard/met yes"
    assert host.room.run("sh", "-s", text=first.tell) == f"{key}\n"
    host.apply()
    assert key == f"wireguard/1 {host.room.run('wg', 'show', 'wg0', 'public-key').strip()}"
    assert host.room.run("sh", "-s", text=first.make) == told
    assert (
        host.room.run("sh", "-s", text=introduction(tmp_path / "j", 2).tell) == f"{key}\nwireguard/makes 2\n"
    )
