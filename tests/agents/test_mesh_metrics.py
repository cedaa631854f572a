"""What is exported of peers, and when one is dialled elsewhere."""

from pathlib import Path

import pytest

from stackctl.agents import mesh_metrics
from stackctl.agents.mesh_metrics import Known, elsewhere, metrics, names, peers, silence

A = "4GgaQCy68tzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8="
B = "kO9nq5lGzM6tZ0nCqjOAPJ8tu1wpVqSgQfXb0pJ0Gmk="
CONFIG = f"""\
[Interface]
# gpu1, key 1

[Peer]
# edge, key 2
PublicKey = {A}
AllowedIPs = 10.77.0.1/32
Endpoint = 203.0.113.5:51820
# also at 198.51.100.7:51820
"""
DUMP = (
    "PRIVATE\tPUBLIC\t51820\t0x100\n"
    f"{A}\t(none)\t203.0.113.5:51820\t10.77.0.1/32\t1000\t2048\t4096\t25\n"
    f"{B}\t(none)\t(none)\t(none)\t0\t0\t148\toff\n"
)
ENDPOINTS = ["203.0.113.5:51820", "198.51.100.7:51820"]


def test_a_peer_is_exported_under_its_name_and_one_on_its_way_out_under_its_key() -> None:
    assert metrics(peers(DUMP, names(CONFIG)), "wg0", 1042.4) == (
        """\
# HELP stackctl_mesh_handshake_age_seconds Seconds since a peer last proved who it is; NaN: it never did.
# TYPE stackctl_mesh_handshake_age_seconds gauge
stackctl_mesh_handshake_age_seconds{device="wg0",peer="edge"} 42
stackctl_mesh_handshake_age_seconds{device="wg0",peer="kO9nq5lG"} NaN
# HELP stackctl_mesh_received_bytes_total Bytes received from a peer.
# TYPE stackctl_mesh_received_bytes_total counter
stackctl_mesh_received_bytes_total{device="wg0",peer="edge"} 2048
stackctl_mesh_received_bytes_total{device="wg0",peer="kO9nq5lG"} 0
# HELP stackctl_mesh_sent_bytes_total Bytes sent to a peer.
# TYPE stackctl_mesh_sent_bytes_total counter
stackctl_mesh_sent_bytes_total{device="wg0",peer="edge"} 4096
stackctl_mesh_sent_bytes_total{device="wg0",peer="kO9nq5lG"} 148
# HELP stackctl_mesh_keepalive Whether this host sends a peer something even when idle: such a peer is never silent.
# TYPE stackctl_mesh_keepalive gauge
stackctl_mesh_keepalive{device="wg0",peer="edge"} 1
stackctl_mesh_keepalive{device="wg0",peer="kO9nq5lG"} 0
"""
    )


def peer(**changes: object) -> Known:
    known = {"endpoint": ENDPOINTS[0], "handshake": 100, "received": 10, "sent": 800, "keepalive": False}
    return Known("edge", **(known | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("now", "looks"),
    [(peer(sent=900), 2), (peer(), 1), (peer(sent=900, received=11), 0), (peer(received=11), 0)],
    ids=["does not answer", "idle", "answers", "speaks"],
)
def test_a_peer_is_silent_that_is_spoken_to_and_does_not_answer(now: Known, looks: int) -> None:
    assert silence(now, 10, 800, 1) == looks


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [(ENDPOINTS[0], ENDPOINTS[1]), (ENDPOINTS[1], ENDPOINTS[0]), ("192.0.2.9:7", ENDPOINTS[0])],
    ids=["next", "round", "learned"],
)
def test_a_silent_peer_is_dialled_at_its_next_endpoint(endpoint: str, expected: str) -> None:
    assert elsewhere(peer(endpoint=endpoint), ENDPOINTS) == expected


def test_a_peer_with_one_endpoint_is_dialled_there_again_wherever_it_was_last() -> None:
    assert elsewhere(peer(endpoint="192.0.2.9:7"), ENDPOINTS[:1]) == ENDPOINTS[0]
    assert elsewhere(peer(endpoint=ENDPOINTS[0]), ENDPOINTS[:1]) is None
    assert elsewhere(peer(endpoint="192.0.2.9:7"), []) is None


def test_it_needs_nothing_but_the_standard_library_of_an_old_python() -> None:
    text = Path(mesh_metrics.__file__).read_text()
    imports = {line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))}

    assert imports == {"dataclasses", "json", "os", "pathlib", "re", "subprocess", "sys", "time"}


def test_a_look_writes_metrics_where_an_exporter_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wg0.conf").write_text(CONFIG)
    (tmp_path / "dump").write_text(DUMP)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/wg").write_text(
        f'#!/bin/sh\ncase $1 in show) cat {tmp_path}/dump;; *) echo "$*" >>{tmp_path}/set;; esac\n'
    )
    (tmp_path / "bin/wg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr(mesh_metrics, "CONFIG", f"{tmp_path}/{{}}.conf")
    monkeypatch.setattr(mesh_metrics, "STATE", tmp_path / "{}.json")
    monkeypatch.setattr(mesh_metrics, "METRICS", tmp_path / "collector/mesh.prom")

    mesh_metrics.main("wg0")
    assert not (tmp_path / "collector").exists()

    (tmp_path / "collector").mkdir()
    for sent in ("6144", "8192"):
        assert not (tmp_path / "set").exists()
        (tmp_path / "dump").write_text(DUMP.replace("4096", sent))
        mesh_metrics.main("wg0")
    assert 'sent_bytes_total{device="wg0",peer="edge"} 8192' in (tmp_path / "collector/mesh.prom").read_text()
    assert (tmp_path / "set").read_text() == f"set wg0 peer {A} endpoint 198.51.100.7:51820\n"
