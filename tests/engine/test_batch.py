"""Framing: what was sent as one script comes back as one answer a command."""

import os
import subprocess
from pathlib import Path

import pytest

from stackctl.core.artifact import Artifact
from stackctl.engine.batch import TIMED_OUT, Answer, Command, framed
from stackctl.ops.step import WriteFiles
from tests.engine.local import LocalSession

OWNER = str(os.getuid())


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


def test_a_step_whose_script_was_cut_at_any_byte_has_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    write = WriteFiles([Artifact(str(path), "whole\n", owner=OWNER, group=OWNER)], [])
    steps = [Command("true", 10), Command(write.script(), 10, after_success=True)]
    script = framed(steps, "the-mark")
    end = script.index(b"[ ", script.index(b"sync -- $dirs"))

    for size in range(script.index(b"if ["), end, 7):
        subprocess.run(["sh", "-s"], input=script[:size], capture_output=True, check=False)

        assert list(tmp_path.iterdir()) == [], script[:size]
    subprocess.run(["sh", "-s"], input=script, capture_output=True, check=True)
    assert path.read_text() == "whole\n"
