"""What the engine rests on in pyinfra, and how pyinfra's own operations fare in it."""

from pathlib import Path
from typing import Any

from pyinfra.api import arguments
from pyinfra.api.operation import OperationMeta
from pyinfra.connectors.util import CommandOutput

from tests.engine.fleet import one_host


def test_an_operations_result_can_be_set_asked_and_forgotten() -> None:
    meta = OperationMeta("hash", None)

    meta.set_complete(True, ["command"], CommandOutput([]))
    assert meta.did_change()

    meta._success = None
    meta._commands = None
    assert not meta.is_complete()


def test_operations_register_in_call_order_and_run_nothing(tmp_path: Path) -> None:
    body = """
    for n in range(3):
        server.shell(name=f'step {n}', commands=[f'touch {spec}'])
    """
    run = one_host(tmp_path / "d", body, spec=str(tmp_path / "touched"))

    assert [operation.name for operation in run.declared["gpu1"].operations] == ["step 0", "step 1", "step 2"]
    assert not (tmp_path / "touched").exists()


def test_a_file_that_pyinfra_uploads_keeps_its_mode_and_is_never_truncated(tmp_path: Path) -> None:
    body = """
    from io import StringIO
    from pyinfra.operations import files as theirs
    theirs.put(name='put', src=StringIO('new\\n'), dest=spec)
    """
    target = tmp_path / "conf"
    target.write_text("old\n")
    target.chmod(0o640)
    inode = target.stat().st_ino
    run = one_host(tmp_path / "d", body, spec=str(target))

    assert not run.apply(run.plan()).failed

    assert target.read_text() == "new\n"
    assert target.stat().st_mode & 0o777 == 0o640
    assert target.stat().st_ino != inode


def test_two_hosts_of_different_shape_keep_their_own_operations(tmp_path: Path) -> None:
    first = one_host(
        tmp_path / "a", "server.shell(name='install the driver', commands=['true'])", host="gpu1"
    )
    second = one_host(
        tmp_path / "b", "server.shell(name='install the proxy', commands=['true'])", host="edge"
    )

    assert [change.operation for change in first.plan().hosts[0].changes] == ["install the driver"]
    assert [change.operation for change in second.plan().hosts[0].changes] == ["install the proxy"]


def test_pyinfras_arguments_are_worked_out_once_for_all_operations_and_facts(tmp_path: Path) -> None:
    listed: Any = arguments.all_global_arguments
    body = """
    for n in range(9):
        files.block(name=f'block {n}', path=f'/nonexistent/{n}', marker='m', lines=['x'])
    """

    one_host(tmp_path / "d", body).plan()

    assert listed.cache_info().misses <= 1
    assert listed.cache_info().hits >= 27
    assert listed() == listed.__wrapped__()


def test_a_deploys_default_data_reach_its_operations(tmp_path: Path) -> None:
    body = """
    from pyinfra.context import host
    @deploy('inner', data_defaults={'word': 'said'})
    def inner():
        server.shell(name=host.data.word, commands=['true'])
    inner()
    """
    (operation,) = one_host(tmp_path / "d", body).declared["gpu1"].operations

    assert operation.name.endswith("said")
