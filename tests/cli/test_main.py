import importlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import typer

from stackctl import __version__
from stackctl.cli import main
from tests.cli.program import stackctl
from tests.engine.sshd import free_port
from tests.inventory import project

Capsys = pytest.CaptureFixture[str]
SLOW = ("pydantic", "jinja2", "yaml", "pyinfra", "gevent", "paramiko", "rich")


def loaded(*words: str, of: Sequence[str]) -> str:
    """Which of these modules the program has loaded when it ends."""
    program = (
        f"import sys; sys.argv = ['stackctl', *{words}]\n"
        "try:\n  import stackctl.__main__\n"
        f"finally: print([name for name in {of} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return ended.stdout.splitlines()[-1]


def test_help_imports_nothing_that_is_slow_to_import() -> None:
    assert loaded("--help", of=SLOW) == "[]"


def test_validate_imports_nothing_that_reaches_hosts() -> None:
    assert loaded("validate", "lab", of=("pyinfra", "gevent", "paramiko")) == "[]"


def test_a_plan_that_no_terminal_shows_imports_nothing_for_terminals(tmp_path: Path) -> None:
    host = f"hosts:\n  edge: {{address: 127.0.0.1, ssh: {{user: root, port: {free_port()}}}}}\n"
    root = project(tmp_path, host).root

    words = ("plan", "test", "--project", str(root))

    assert loaded(*words, of=("rich", "invoke.runners", "pyinfra")) == "['pyinfra']"


@pytest.mark.parametrize("name", main.COMMANDS)
def test_help_says_of_a_command_what_the_command_says_of_itself(name: str) -> None:
    found: Callable[..., None] | typer.Typer = getattr(
        importlib.import_module(f"stackctl.cli.{main.COMMANDS[name].module}"), name
    )
    own = found.info.help if isinstance(found, typer.Typer) else found.__doc__

    assert str(own).startswith(main.COMMANDS[name].help.rstrip("."))


def test_no_command_shows_the_help(capsys: Capsys) -> None:
    ended = stackctl(capsys)

    assert ended.code == 2
    assert "Usage: stackctl" in ended.out + ended.err


def test_a_misspelt_command_is_named_with_the_nearest(capsys: Capsys) -> None:
    ended = stackctl(capsys, "validat")

    assert ended.code == 2
    assert "Did you mean 'validate'?" in ended.err


def test_the_version_is_printed(capsys: Capsys) -> None:
    assert stackctl(capsys, "--version") == (0, f"{__version__}\n", "")


def test_a_fault_of_ours_is_one_clear_line(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackctl.cli.main._loaded", _faulty)

    ended = stackctl(capsys, "validate")

    assert ended.code == 1
    assert ended.err == (
        "stackctl  a fault of stackctl's own: ZeroDivisionError: broken\n"
        "  hint: run again with `--debug` and report what it shows\n"
    )


def test_a_full_disk_under_the_output_is_no_fault_of_ours(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stackctl.cli.main._loaded", _full)

    ended = stackctl(capsys, "validate")

    assert ended.code == 1
    assert ended.err == (
        "standard output  cannot be written: no space left on device\n  hint: make room where it goes\n"
    )


def test_debug_shows_where_wherever_it_stands(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackctl.cli.main._loaded", _faulty)

    assert "Traceback" in stackctl(capsys, "--debug", "validate").err
    assert "Traceback" in stackctl(capsys, "validate", "--debug").err
    assert "Traceback" not in stackctl(capsys, "validate", "--", "--debug").err


def test_being_interrupted_is_exit_code_130(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackctl.cli.main._loaded", _interrupted)

    assert stackctl(capsys, "validate").code == 130


def _faulty(*_: object) -> Callable[[], None]:
    def command() -> None:
        raise ZeroDivisionError("broken")

    return command


def _full(*_: object) -> Callable[[], None]:
    def command() -> None:
        raise OSError(28, "No space left on device")

    return command


def _interrupted(*_: object) -> Callable[[], None]:
    def command() -> None:
        raise KeyboardInterrupt

    return command
