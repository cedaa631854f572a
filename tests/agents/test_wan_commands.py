"""The agent's commands where no agent runs, as an operator types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stackctl.agents import wan
from tests.agents.wan_course import settled
from tests.agents.wan_running import AGENT, configuration, probing


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(configuration(probing())))
    return path


def typed(written: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", AGENT, *words, written],
        env={"RUNTIME_DIRECTORY": str(written.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_command_to_an_agent_that_does_not_run_fails_and_says_so(written: Path) -> None:
    done = typed(written, "pause")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("the agent does not answer: ")


def test_the_state_that_an_agent_left_is_told_with_a_word_that_it_does_not_run(written: Path) -> None:
    course = settled()
    ports = dict.fromkeys(course.config.ranked, wan.Port())
    told = wan.described(course.config, course.state, ports, course.now, 1_800_000_000.0)
    (written.parent / "wan.json").write_text(json.dumps(told))
    done = typed(written, "status")
    said = json.loads(done.stdout)

    assert (done.returncode, said["running"], said["active"]) == (0, False, ["fibre"])
    assert "kept" not in said


def test_an_uplink_that_there_is_not_is_told_with_those_that_there_are(written: Path) -> None:
    done = typed(written, "switch", "cable")

    assert (done.returncode, done.stderr) == (2, "`cable` is not an uplink; there are fibre, lte\n")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"uplinks": [], "targets": [], "surprise": 1}'])
def test_a_file_that_is_not_ours_is_refused_in_a_line(written: Path, text: str) -> None:
    written.write_text(text)
    done = typed(written, "run")

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"{written}: ")
