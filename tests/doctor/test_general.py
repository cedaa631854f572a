"""What the doctor says of a host apart from its GPUs."""

import subprocess
from pathlib import Path

import pytest

from stackctl.capabilities.docker import DockerSpec
from stackctl.core.connection import Connection
from stackctl.core.job import Job, Part
from stackctl.doctor.general import Look, read, rungs, script
from tests.ops.programs import program

JOB = Job("gpu1", Connection("gpu1", "192.0.2.1"), (Part("docker", DockerSpec((), {}, ()), ()),))
SOUND = Look(
    "debian-13", None, {"/": 40}, (), "26.1.5", {"chat": "running Up 2 hours (healthy)"}, receipt=True
)


def told(look: Look) -> dict[str, str]:
    return {rung.name: f"{rung.state}: {rung.told}" for rung in rungs(JOB, look)}


def test_a_sound_host() -> None:
    assert told(SOUND) == {
        "disks": "passed: / 40 %",
        "units": "passed: none has failed",
        "receipt": "passed: an apply has come to its end here",
        "engine": "passed: Docker 26.1.5",
        "containers of models": "passed: chat running",
    }


@pytest.mark.parametrize(
    ("look", "rung", "what"),
    [
        (Look(disks={"/srv": 97}), "disks", "failed: /srv is 97 % full"),
        (Look(failed=("docker.service",)), "units", "failed: docker.service has failed"),
        (Look(), "receipt", "failed: no apply has come to its end on this host"),
        (Look(), "engine", "failed: Docker does not answer"),
        (
            Look(containers={"chat": "exited Exited (1)"}),
            "containers of models",
            "failed: chat is exited Exited (1)",
        ),
        (
            Look(containers={"chat": "running Up 3 hours (unhealthy)"}),
            "containers of models",
            "failed: chat is running Up 3 hours (unhealthy)",
        ),
    ],
)
def test_what_is_wrong_is_named(look: Look, rung: str, what: str) -> None:
    assert told(look)[rung] == what


def test_the_script_reads_what_the_programs_say(tmp_path: Path) -> None:
    program(tmp_path, "systemctl", "echo 'docker.service loaded failed failed Docker'")
    program(tmp_path, "timedatectl", "echo no")
    program(
        tmp_path,
        "docker",
        "case $1 in version) echo 26.1.5;; ps) echo 'chat running Up 2 hours (healthy)';; esac",
    )
    program(tmp_path, "df", "printf 'Use%% Mounted on\\n 41%% /\\n  7%% /srv\\n'")
    (tmp_path / "receipt.json").write_text("{}")

    done = subprocess.run(
        ["sh", "-c", f"PATH={tmp_path}:$PATH STACKCTL_STATE={tmp_path}\n{script()}"],
        capture_output=True,
        text=True,
        check=True,
    )
    look = read(done.stdout)

    assert (look.synchronised, look.failed, look.engine) == (False, ("docker.service",), "26.1.5")
    assert look.disks == {"/": 41, "/srv": 7}
    assert look.containers == {"chat": "running Up 2 hours (healthy)"}
    assert look.receipt
