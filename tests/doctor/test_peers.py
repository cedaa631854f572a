"""Who of a WireGuard mesh has been heard."""

import os
import subprocess
from pathlib import Path

from stackctl.doctor import peers
from tests.ops.programs import program

TOLD = """now\t1000000
allowed-ips\twg0\tKEY1=\t10.77.0.2/32
allowed-ips\twg0\tKEY2=\t10.77.0.3/32 172.30.0.0/24
allowed-ips\twg0\tKEY3=\t10.77.0.9/32
allowed-ips\twg0\tKEY4=\t(none)
persistent-keepalive\twg0\tKEY1=\toff
persistent-keepalive\twg0\tKEY2=\t25
persistent-keepalive\twg0\tKEY3=\t25
persistent-keepalive\twg0\tKEY4=\t25
latest-handshakes\twg0\tKEY1=\t990000
latest-handshakes\twg0\tKEY2=\t999809
latest-handshakes\twg0\tKEY3=\t999810
latest-handshakes\twg0\tKEY4=\t0
"""
HOSTS = {"10.77.0.2": "gpu1", "10.77.0.3": "gpu2"}


def test_peers_are_called_as_the_inventory_calls_them_and_only_those_spoken_to_can_be_silent() -> None:
    assert [(peer.name, peer.age, peer.silent) for peer in peers.read(TOLD, HOSTS)] == [
        ("10.77.0.9", 190, False),
        ("KEY4=", None, True),
        ("gpu1", 10000, False),
        ("gpu2", 191, True),
    ]


def test_each_silent_peer_is_told_with_a_way_out() -> None:
    findings = list(peers.troubles("edge", peers.read(TOLD, HOSTS)))

    assert [(item.where, item.what) for item in findings] == [
        ("edge · mesh", "KEY4= has never been heard"),
        ("edge · mesh", "gpu2 was last heard 191 s ago"),
    ]
    assert findings[0].hint is not None


def test_no_mesh_is_no_peers() -> None:
    assert peers.read("", HOSTS) == ()


def test_a_host_is_asked_for_nothing_that_is_secret(tmp_path: Path) -> None:
    program(tmp_path, "wg", f'echo "$@" >>{tmp_path}/calls; printf "wg0\\tKEY1=\\t25\\n"')
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    done = subprocess.run(
        ["sh", "-c", peers.SCRIPT], env=environment, capture_output=True, text=True, check=True
    )

    assert (tmp_path / "calls").read_text().splitlines() == [
        "show all allowed-ips",
        "show all persistent-keepalive",
        "show all latest-handshakes",
    ]
    assert "persistent-keepalive\twg0\tKEY1=\t25" in done.stdout.splitlines()
