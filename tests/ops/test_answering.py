"""A model is waited for until it answers, and its log is shown where it does not."""

import time
from pathlib import Path

from stackctl.core.finding import Finding
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program

WAIT = """answering.answering(
    name='wait for chat', project='stackctl', service='chat', url='http://127.0.0.1:9/health', seconds=spec)"""


def waited(tmp_path: Path, docker_script: str, seconds: int) -> Finding:
    program(tmp_path / "bin", "docker", docker_script)
    run = one_host(tmp_path / "d", WAIT, spec=seconds, session=lambda _: LocalSession(tmp_path / "bin"))
    return run.apply(run.plan()).hosts[0].findings[0]


def test_a_container_that_never_answers_shows_its_last_log_lines(tmp_path: Path) -> None:
    script = """case "$*" in
      compose*ps*) echo abc;;
      *RestartCount*) echo 0 running false;;
      logs*) echo 'loading weights'; printf '\\033[31mCUDA out of memory\\033[0m\\n' >&2;;
    esac"""

    finding = waited(tmp_path, script, seconds=1)

    assert finding.where == "gpu1 · demo · wait for chat"
    assert finding.what == "chat is running, restarted 0 times: its device's memory does not suffice"
    assert finding.detail == ("loading weights", "CUDA out of memory")


def test_a_container_in_a_crash_loop_is_not_waited_for(tmp_path: Path) -> None:
    script = """case "$*" in
      compose*ps*) echo abc;;
      *RestartCount*) echo 3 restarting false;;
      logs*) echo 'no such model';;
    esac"""

    finding = waited(tmp_path, script, seconds=600)

    assert finding.what == "chat is restarting, restarted 3 times"
    assert finding.detail == ("no such model",)


def test_restarts_of_long_ago_are_no_crash_loop(tmp_path: Path) -> None:
    script = """case "$*" in
      compose*ps*) echo abc;;
      *RestartCount*) echo 7 running false;;
    esac"""
    program(tmp_path / "bin", "curl", f"[ -e {tmp_path}/asked ] && exit 0; touch {tmp_path}/asked; exit 7")
    program(tmp_path / "bin", "docker", script)
    run = one_host(tmp_path / "d", WAIT, spec=30, session=lambda _: LocalSession(tmp_path / "bin"))
    plan = run.plan()
    (tmp_path / "asked").unlink()

    assert not run.apply(plan).failed


def test_a_server_that_hangs_shows_its_log_when_its_time_is_up(tmp_path: Path) -> None:
    script = """sleep 0.5; case "$*" in
      compose*ps*) echo abc;;
      *RestartCount*) echo 0 running false;;
      logs*) echo 'waiting for a lock';;
    esac"""
    program(tmp_path / "bin", "curl", "sleep 1; exit 28")
    began = time.monotonic()
    finding = waited(tmp_path, script, seconds=4)

    assert time.monotonic() - began < 15
    assert finding.detail == ("waiting for a lock",)


def test_what_a_container_logs_is_not_taken_for_the_hosts_own_trouble(tmp_path: Path) -> None:
    script = """case "$*" in
      compose*ps*) echo abc;;
      *RestartCount*) echo 3 restarting false;;
      logs*) echo 'HTTP 401 Unauthorized: connection refused';;
    esac"""

    assert waited(tmp_path, script, seconds=9).what == "chat is restarting, restarted 3 times"


def test_a_container_is_not_waited_for_once_the_operators_connection_is_gone(tmp_path: Path) -> None:
    script = """case "$*" in
      compose*ps*) echo abc;;
      *RestartCount*) echo 0 running false;;
    esac"""
    program(tmp_path / "bin", "docker", script)
    session = LocalSession(tmp_path / "bin")
    session.head += "STACKCTL_SESSION=$(sh -c 'echo $$')\n"
    run = one_host(tmp_path / "d", WAIT, spec=600, session=lambda _: session)

    finding = run.apply(run.plan()).hosts[0].findings[0]

    assert finding.what == "nobody waits for chat any more"
