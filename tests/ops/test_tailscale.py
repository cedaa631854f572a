"""Joining by Tailscale, with a program that speaks its command line in place of the real one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackctl.core.secret import SecretRef
from stackctl.engine.run import Run
from stackctl.mesh.tailscale import KEY_FILE, OWN_SERVER, Source, TailscaleSpec
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program
from tests.ops.seen import seen

BODY = """
from stackctl.ops import tailscale
tailscale.joined(name="join", spec=spec, root={root!r})
tailscale.addressed(name="check the address", spec=spec)
"""
# What the real one keeps and answers, as far as it is asked; `down` is a daemon that does not answer.
STAND_IN = """#!/usr/bin/python3
import json, pathlib, sys
folder = pathlib.Path({folder!r})
state = json.loads((folder / "state").read_text())
words = sys.argv[1:]
if state.get("down"):
    sys.exit("failed to connect to local tailscaled")
if words == ["status", "--json", "--peers=false"]:
    print(json.dumps({{"BackendState": state["backend"], "TailscaleIPs": state["addresses"]}}, indent=1))
elif words == ["debug", "prefs"]:
    print(json.dumps(state["prefs"], indent=1))
elif words[0] == "up":
    (folder / "words").write_text("\\n".join(words))
    flags = dict(word.removeprefix("--").partition("=")[::2] for word in words[1:])
    server = flags["login-server"]
    if "auth-key" in flags:
        file = pathlib.Path(flags["auth-key"].removeprefix("file:"))
        (folder / "mode").write_text(f"{{file.stat().st_mode & 0o777:o}}")
        if file.read_text().strip() != "tskey-right":
            sys.exit("backend error: invalid key: unable to validate API key")
        if state["backend"] == "Running" and server != state["prefs"]["ControlURL"]:
            assert "force-reauth" in flags
        state |= {{"addresses": ["100.64.0.12", "fd7a::c"]}}
    elif state["backend"] == "NeedsLogin":
        sys.exit("To authenticate, visit ...")
    routes = flags["advertise-routes"]
    state |= {{
        "backend": "Running",
        "prefs": {{
            "ControlURL": server,
            "Hostname": flags["hostname"],
            "CorpDNS": flags["accept-dns"] == "true",
            "NetfilterMode": {{"off": 0, "on": 2}}[flags["netfilter-mode"]],
            "RouteAll": flags["accept-routes"] == "true",
            "AdvertiseRoutes": routes.split(",") if routes else None,
        }},
    }}
    (folder / "state").write_text(json.dumps(state))
else:
    sys.exit(f"unknown: {{words}}")
"""
PREFS = {
    "ControlURL": OWN_SERVER,
    "Hostname": "gpu1",
    "CorpDNS": False,
    "NetfilterMode": 0,
    "RouteAll": True,
    "AdvertiseRoutes": ["172.30.1.0/24"],
}
OUT = {"backend": "NeedsLogin", "addresses": [], "prefs": {"ControlURL": OWN_SERVER, "CorpDNS": True}}
IN: dict[str, Any] = {"backend": "Running", "addresses": ["100.64.0.12", "fd7a::c"], "prefs": PREFS}


@pytest.fixture
def spec(tmp_path: Path) -> TailscaleSpec:
    (tmp_path / "key").write_text("tskey-right\n")
    return TailscaleSpec(
        host="gpu1",
        address="100.64.0.12",
        device="tailscale0",
        port=51820,
        server=OWN_SERVER,
        auth_key=SecretRef("file", str(tmp_path / "key")),
        routes=("172.30.1.0/24",),
        accepts=True,
        source=Source("", "", "", "", ()),
    )


def run_of(tmp_path: Path, spec: TailscaleSpec, state: dict[str, Any] | None) -> Run:
    """A host with the program in this state; None: without it."""
    bin_ = tmp_path / "bin"
    if state is not None:
        (tmp_path / "state").write_text(json.dumps(state))
        program(bin_, "tailscale", "")
        (bin_ / "tailscale").write_text(STAND_IN.format(folder=str(tmp_path)))
    body = BODY.format(root=str(tmp_path / "root"))
    return one_host(tmp_path / "d", body, spec=spec, session=lambda _: LocalSession(bin_))


def reasons(run: Run) -> list[str]:
    [host] = run.plan().hosts
    assert host.findings == ()
    return [change.reason for change in host.changes]


def test_a_host_that_is_out_joins_with_the_key_and_keeps_none_of_it(
    tmp_path: Path, spec: TailscaleSpec
) -> None:
    run = run_of(tmp_path, spec, OUT)
    plan = run.plan()
    assert [change.reason for change in plan.hosts[0].changes] == [f"join {OWN_SERVER} as gpu1"]
    assert "tskey-right" not in repr(plan)

    outcome = run.apply(plan).hosts[0]

    assert (outcome.findings, outcome.left) == ((), ())
    file = tmp_path / "root" / KEY_FILE.lstrip("/")
    assert (tmp_path / "words").read_text().splitlines() == [
        "up",
        "--reset",
        f"--login-server={OWN_SERVER}",
        "--hostname=gpu1",
        "--accept-dns=false",
        "--netfilter-mode=off",
        "--accept-routes=true",
        "--advertise-routes=172.30.1.0/24",
        "--accept-risk=lose-ssh",
        "--timeout=10s",
        f"--auth-key=file:{file}",
    ]
    assert (tmp_path / "mode").read_text() == "600"
    assert list(file.parent.iterdir()) == []


def test_a_host_that_is_in_needs_no_key(tmp_path: Path, spec: TailscaleSpec) -> None:
    Path(spec.auth_key.target).unlink()

    run = run_of(tmp_path, spec, IN)

    assert reasons(run) == []
    assert seen(run)["login at Tailscale"] == {"server": OWN_SERVER, "addresses": "100.64.0.12"}


@pytest.mark.parametrize("state", [None, {**OUT, "down": True}])
def test_a_host_without_the_daemon_joins_once_it_has_it(
    tmp_path: Path, spec: TailscaleSpec, state: dict[str, Any] | None
) -> None:
    assert reasons(run_of(tmp_path, spec, state)) == [f"join {OWN_SERVER} as gpu1"]


def test_settings_follow_the_inventory_without_a_new_login(tmp_path: Path, spec: TailscaleSpec) -> None:
    Path(spec.auth_key.target).unlink()
    strange = {
        "CorpDNS": True,
        "NetfilterMode": 2,
        "AdvertiseRoutes": None,
        "Hostname": "x",
        "RouteAll": False,
    }
    run = run_of(tmp_path, spec, {**IN, "prefs": {**PREFS, **strange}})

    assert reasons(run) == [
        (
            "name x becomes gpu1; whether it takes over the host's DNS yes becomes no;"
            " whether it writes firewall rules 2 becomes no; whether it takes others' networks no becomes yes;"
            " networks behind it unset becomes 172.30.1.0/24"
        )
    ]

    outcome = run.apply(run.plan()).hosts[0]
    assert (outcome.findings, outcome.left) == ((), ())
    assert "--auth-key" not in (tmp_path / "words").read_text()


def test_a_host_that_was_stopped_is_started(tmp_path: Path, spec: TailscaleSpec) -> None:
    assert reasons(run_of(tmp_path, spec, {**IN, "backend": "Stopped"})) == ["start it"]


def test_a_host_leaves_the_server_it_was_at(tmp_path: Path, spec: TailscaleSpec) -> None:
    moved = replace(spec, server="https://hs.lan")
    run = run_of(tmp_path, moved, IN)
    assert reasons(run) == [f"leave {OWN_SERVER}, and join https://hs.lan as gpu1"]

    outcome = run.apply(run.plan()).hosts[0]

    assert (outcome.findings, outcome.left) == ((), ())
    assert "--force-reauth" in (tmp_path / "words").read_text().splitlines()


def test_a_key_that_the_server_refuses_is_told_without_a_word_of_it(
    tmp_path: Path, spec: TailscaleSpec
) -> None:
    Path(spec.auth_key.target).write_text("tskey-wrong\n")
    run = run_of(tmp_path, spec, OUT)

    [finding] = run.apply(run.plan()).hosts[0].findings

    assert "invalid key" in " ".join((finding.what, *finding.detail))
    assert finding.hint is not None
    assert "tskey-wrong" not in repr(finding)
    assert list((tmp_path / "root" / KEY_FILE.lstrip("/")).parent.iterdir()) == []


@pytest.mark.parametrize(
    ("state", "what", "hint"),
    [
        (
            {**IN, "addresses": ["100.64.0.99"]},
            f"{OWN_SERVER}: gave gpu1 100.64.0.99, and `mesh.address` is 100.64.0.12",
            "write `hosts.gpu1.mesh.address: 100.64.0.99`, or give it the address in the server's list of machines",
        ),
        (
            {**IN, "backend": "NeedsMachineAuth", "addresses": []},
            f"{OWN_SERVER}: waits for somebody to let gpu1 in",
            "approve it in the server's list of machines, then apply",
        ),
    ],
)
def test_what_the_server_did_otherwise_is_told_with_the_way_out(
    tmp_path: Path, spec: TailscaleSpec, state: dict[str, Any], what: str, hint: str
) -> None:
    [finding] = run_of(tmp_path, spec, state).plan().hosts[0].findings

    assert (finding.what, finding.hint) == (what, hint)
