"""A compose project is planned from Compose's own hashes, and waited for until it answers."""

import json
import time
from pathlib import Path

import pytest

from stackctl.core.artifact import Artifact
from stackctl.core.finding import Finding
from stackctl.core.secret import SecretRef
from stackctl.plan.change import Change
from stackctl.views.plan import plan_json
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program

FILE = Artifact("/etc/stackctl/serving/compose.yaml", "services: {}\n")
PROJECT = "compose.project(name='run the models', project='stackctl', file=files_[0], images=['lab/chat:1'])"


def docker(tmp_path: Path, *, wanted: dict[str, str], running: list[list[str]], images: bool = True) -> None:
    """A host whose Compose wants these hashes and whose Docker runs these containers."""
    (tmp_path / "hashes").write_text("".join(f"{service} {value}\n" for service, value in wanted.items()))
    (tmp_path / "containers").write_text("".join(f"container {json.dumps(row)}\n" for row in running))
    script = f"""case "$*" in
      *'config --hash'*) cat >/dev/null; cat {tmp_path}/hashes;;
      'ps -a'*) cat {tmp_path}/containers;;
      'image inspect'*) exit {0 if images else 1};;
    esac"""
    program(tmp_path / "bin", "docker", script)


def planned(tmp_path: Path) -> tuple[Change, ...]:
    run = one_host(tmp_path / "d", PROJECT, FILE, session=lambda _: LocalSession(tmp_path / "bin"))
    plan = run.plan()
    assert plan.findings == ()
    return plan.hosts[0].changes


def test_a_project_as_wanted_is_left_alone(tmp_path: Path) -> None:
    docker(tmp_path, wanted={"chat": "aa"}, running=[["chat", "aa", "running", "lab/chat:1"]])

    assert planned(tmp_path) == ()


def test_each_container_has_its_own_reason(tmp_path: Path) -> None:
    docker(
        tmp_path,
        wanted={"chat": "aa", "speak": "bb", "rank": "cc"},
        running=[
            ["chat", "old", "running", "lab/chat:1"],
            ["rank", "cc", "exited", "lab/rank:1"],
            ["gone", "dd", "running", "lab/gone:1"],
        ],
    )

    (change,) = planned(tmp_path)

    assert change.reason == (
        "recreate chat, its configuration differs; start rank, it is exited; create speak; remove gone"
    )


def test_a_missing_image_is_pulled_first(tmp_path: Path) -> None:
    docker(tmp_path, wanted={"chat": "aa"}, running=[], images=False)

    (change,) = planned(tmp_path)

    assert change.reason == "pull lab/chat:1; create chat"
    assert change.commands[0] == "docker pull -q -- lab/chat:1"


def test_without_docker_everything_is_to_be_created(tmp_path: Path) -> None:
    program(tmp_path / "bin", "docker", "exit 127")

    (change,) = planned(tmp_path)

    assert change.reason == "pull lab/chat:1; create the containers"
    assert change.action == "add"


WAIT = """compose.answering(
    name='wait for chat', project='stackctl', service='chat', url='http://127.0.0.1:9/health', seconds=spec)"""


def waited(tmp_path: Path, docker_script: str, seconds: int) -> Finding:
    program(tmp_path / "bin", "docker", docker_script)
    run = one_host(tmp_path / "d", WAIT, spec=seconds, session=lambda _: LocalSession(tmp_path / "bin"))
    return run.apply(run.plan()).hosts[0].findings[0]


def test_a_container_that_never_answers_shows_its_last_log_lines(tmp_path: Path) -> None:
    script = """case "$*" in
      compose*ps*) echo abc;;
      *RestartCount*) echo 0;;
      *Status*) echo running;;
      logs*) echo 'loading weights'; printf '\\033[31mCUDA out of memory\\033[0m\\n' >&2;;
    esac"""

    finding = waited(tmp_path, script, seconds=1)

    assert finding.where == "gpu1 · demo · wait for chat"
    assert finding.what == "chat is running, restarted 0 times"
    assert finding.detail == ("loading weights", "CUDA out of memory")


def test_a_container_in_a_crash_loop_is_not_waited_for(tmp_path: Path) -> None:
    script = """case "$*" in
      compose*ps*) echo abc;;
      *RestartCount*) echo 3;;
      *Status*) echo restarting;;
      logs*) echo 'no such model';;
    esac"""

    finding = waited(tmp_path, script, seconds=600)

    assert finding.what == "chat is restarting, restarted 3 times"
    assert finding.detail == ("no such model",)


def test_restarts_of_long_ago_are_no_crash_loop(tmp_path: Path) -> None:
    script = """case "$*" in
      compose*ps*) echo abc;;
      *RestartCount*) echo 7;;
      *Status*) echo running;;
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
      *RestartCount*) echo 0;;
      *Status*) echo running;;
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
      *RestartCount*) echo 3;;
      *Status*) echo restarting;;
      logs*) echo 'HTTP 401 Unauthorized: connection refused';;
    esac"""

    assert waited(tmp_path, script, seconds=9).what == "chat is restarting, restarted 3 times"


def test_a_docker_without_compose_is_called_that(tmp_path: Path) -> None:
    script = """case "$1" in
      compose) echo "unknown shorthand flag: 'p' in -p" >&2; exit 125;;
    esac"""
    program(tmp_path / "bin", "docker", script)
    run = one_host(tmp_path / "d", PROJECT, FILE, session=lambda _: LocalSession(tmp_path / "bin"))

    assert run.apply(run.plan()).hosts[0].findings[0].what == "Docker has no Compose on this host"


def test_a_secret_in_a_project_is_not_logged_even_for_debugging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REVIEW_TOKEN", "s3cret-value")
    ref = SecretRef("env", "REVIEW_TOKEN")
    file = Artifact("/etc/compose.yaml", f"x: {ref.placeholder}\n", secrets=(ref,))
    docker(tmp_path, wanted={"chat": "aa"}, running=[])
    caplog.set_level("DEBUG")

    run = one_host(tmp_path / "d", PROJECT, file, session=lambda _: LocalSession(tmp_path / "bin"))

    assert "s3cret-value" not in plan_json(run.plan()) + caplog.text
