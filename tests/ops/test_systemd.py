"""Units: started, enabled, and restarted for as long as they owe it."""

from pathlib import Path

import pytest

from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program


def reasons(tmp_path: Path, *, active: str, enabled: str, since: str, body: str) -> list[str]:
    """What is planned for a unit in this state."""
    show = f"ActiveState={active}\nUnitFileState={enabled}\nActiveEnterTimestamp={since}\nStateChangeTimestamp={since}"
    program(tmp_path / "bin", "systemctl", f"cat <<'E'\n{show}\nE")
    run = one_host(
        tmp_path / "d", body, spec=str(tmp_path / "conf"), session=lambda _: LocalSession(tmp_path / "bin")
    )
    return [change.reason for change in run.plan().hosts[0].changes if change.operation == "run app"]


SERVICE = "systemd.service(name='run app', unit='app', reads=[spec])"
FUTURE = "Fri 2100-01-01 00:00:00.000000 UTC"
PAST = "Thu 2015-01-01 00:00:00.000000 UTC"


@pytest.mark.parametrize(
    ("active", "enabled", "since", "expected"),
    [
        ("active", "enabled", FUTURE, []),
        ("active", "static", FUTURE, []),
        ("active", "alias", FUTURE, []),
        ("inactive", "disabled", "", ["enable app at boot; start app"]),
        ("failed", "enabled", FUTURE, ["start app"]),
        ("active", "enabled", PAST, ["restart app, its files are newer than its last start"]),
    ],
)
def test_a_unit_gets_what_it_lacks_and_no_more(
    tmp_path: Path, active: str, enabled: str, since: str, expected: list[str]
) -> None:
    (tmp_path / "conf").write_text("x")

    assert reasons(tmp_path, active=active, enabled=enabled, since=since, body=SERVICE) == expected


def test_a_unit_whose_definition_changed_is_read_again_and_restarted(tmp_path: Path) -> None:
    body = """
    unit = files.block(name='write the drop-in', path=spec, marker='m', lines=['x'])
    systemd.service(name='run app', unit='app', on_change='reload', defined_by=[spec], redefined=[unit])
    """

    assert reasons(tmp_path, active="active", enabled="enabled", since=FUTURE, body=body) == [
        "let systemd read the changed unit; restart app, its unit changes"
    ]


def test_a_unit_is_reloaded_when_a_file_of_this_run_changes(tmp_path: Path) -> None:
    body = """
    conf = files.block(name='write conf', path=spec, marker='m', lines=['x'])
    systemd.service(name='run app', unit='app', reads=[spec], on_change='reload', after=[conf])
    """

    assert reasons(tmp_path, active="active", enabled="enabled", since=FUTURE, body=body) == [
        "reload app, its files change"
    ]
