import json
from pathlib import Path

import pytest

from tests.cli.program import stackctl
from tests.inventory import project

Capsys = pytest.CaptureFixture[str]
CLOSED = """\
hosts:
  edge: {address: 10.0.0.11, roles: [gateway]}
  gpu1: {address: 10.0.0.12, roles: [models], firewall: {management: [10.9.0.0/24], outside: [eth1]}}
placements: {chat: [{host: gpu1, devices: [cpu]}]}
"""


def test_who_may_reach_what_is_shown_without_a_host(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, CLOSED).root

    ended = stackctl(capsys, "firewall", "show", "gpu1", cwd=root)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[:4] == [
        "port      from                    by   for",
        "22/tcp    management 10.9.0.0/24  any  ssh (firewall.ssh)",
        "7980/tcp  edge 10.0.0.11          any  drained replicas (serving)",
        "8000/tcp  edge 10.0.0.11          any  replica of chat (serving)",
    ]


def test_machines_get_json(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, CLOSED).root

    found = json.loads(stackctl(capsys, "firewall", "show", "gpu1", "--json", cwd=root).out)

    assert [rule["port"] for rule in found["firewall"]["rules"]] == [22, 7980, 8000]


def test_an_unknown_host_is_named_with_the_nearest(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, CLOSED).root

    assert stackctl(capsys, "firewall", "show", "gpu2", cwd=root) == (
        2,
        "",
        "HOST  no environment has a host `gpu2`\n  hint: did you mean `gpu1`?\n",
    )
