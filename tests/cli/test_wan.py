"""`stackctl wan`: what is asked wrongly is told before any host is."""

from pathlib import Path

import pytest

from tests.cli.program import stackctl
from tests.inventory import project

Capsys = pytest.CaptureFixture[str]
UPLINKS = "wan: {uplinks: [{name: fibre, interface: wan1}, {name: lte, interface: wan2}]}"
FLEET = f"""\
hosts:
  edge: {{address: 192.0.2.1, {UPLINKS}}}
  gpu1: {{address: 192.0.2.2}}
  gpu2: {{address: 192.0.2.3, wan: {{uplinks: []}}}}
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("switch", "edge", "fiber"),
            "UPLINK  `fiber` is not an uplink of edge\n  hint: did you mean `fibre`?\n",
        ),
        (
            ("test", "edge", "x"),
            "UPLINK  `x` is not an uplink of edge\n  hint: there are `fibre`, `lte`\n",
        ),
        (
            ("switch", "gpu1", "lte"),
            "HOST  no uplinks of `gpu1` are written in test\n  hint: hosts with uplinks: edge\n",
        ),
        (
            ("release", "gpu2"),
            "HOST  no uplinks of `gpu2` are written in test\n  hint: hosts with uplinks: edge\n",
        ),
        (("pause", "egde"), "HOST  no environment has a host `egde`\n  hint: did you mean `edge`?\n"),
        (
            ("switch", "edge", "lte", "--for", "soon"),
            "--for  `soon` is no time\n  hint: write such as `90s`, `10m` or `2h`\n",
        ),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    capsys: Capsys, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    done = stackctl(capsys, "wan", *words, cwd=project(tmp_path, FLEET).root)

    assert (done.code, done.err) == (2, told)


def test_where_no_host_has_uplinks_it_is_said_how_to_write_them(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, "hosts: {gpu1: {address: 192.0.2.2}}\n").root

    done = stackctl(capsys, "wan", "resume", "gpu1", cwd=root)

    assert done.err.endswith("hint: write them under `hosts.gpu1.wan.uplinks`\n")


def test_another_environment_is_named_where_it_has_no_such_host(capsys: Capsys, tmp_path: Path) -> None:
    root = project(tmp_path, FLEET).root

    done = stackctl(capsys, "wan", "resume", "gpu9", "--environment", "test", cwd=root)

    assert (done.code, done.err) == (
        2,
        "HOST  `gpu9` is not a host of test\n  hint: did you mean `gpu2`?\n",
    )
