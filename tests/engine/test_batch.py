"""Framing: what was sent as one script comes back as one answer a command."""

import pytest

from stackctl.engine.batch import TIMED_OUT, Answer, Command
from tests.engine.local import LocalSession


def run(*scripts: str, seconds: int = 10) -> tuple[Answer, ...]:
    return LocalSession().run([Command(script, seconds) for script in scripts])


def test_each_command_has_its_own_status_and_streams() -> None:
    first, second = run("echo out; echo err >&2; exit 3", "printf 'no newline'")

    assert first == Answer(3, "out\n", "err\n")
    assert second == Answer(0, "no newline", "")


def test_a_command_cannot_read_the_script_that_follows_it() -> None:
    following = "# so long that the shell has not read it all yet".ljust(1_000_000) + "\necho still here"

    assert [answer.stdout for answer in run("cat", following)] == ["", "still here\n"]


def test_a_command_that_exits_or_breaks_the_shell_does_not_take_the_next_with_it() -> None:
    answers = run("exit 7", "if", "set -e; false; echo no", "echo last")

    assert [answer.status for answer in answers] == [7, 2, 1, 0]


def test_a_command_over_its_time_is_ended_with_all_its_children() -> None:
    answers = run("sleep 60 & sleep 61; echo no", seconds=1)

    assert answers[0].status == TIMED_OUT


def test_output_that_looks_like_a_mark_is_output() -> None:
    assert run("printf '\\nstackctl-0123 0\\n'")[0].stdout == "\nstackctl-0123 0\n"


@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
def test_large_scripts_and_outputs_survive(size: int) -> None:
    script = f"cat <<'E' | wc -c\n{'x' * (size - 1)}\nE\nhead -c {size} /dev/zero | tr '\\0' y"
    answer = run(script)[0]

    assert answer.stdout == f"{size}\n" + "y" * size


def test_the_script_is_not_in_the_process_list() -> None:
    assert (
        "hunter" + "2"
        not in run("h=hunter2; cat /proc/$$/cmdline /proc/$PPID/cmdline | tr '\\0' ' '")[0].stdout
    )
