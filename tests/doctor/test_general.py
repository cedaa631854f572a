"""What the doctor says of a host apart from its GPUs."""

import fcntl
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.capabilities.docker import DockerSpec
from stackctl.capabilities.serving import ServingSpec
from stackctl.capabilities.system import SystemSpec
from stackctl.core.compose import Bind, Project, Service
from stackctl.core.connection import Connection
from stackctl.core.job import Job, Part
from stackctl.doctor.general import Look, Records, read, rungs, script
from stackctl.plan.receipt import Receipt
from tests.ops.programs import program

SYSTEM = SystemSpec("debian-13", "gpu1", (), (), timesyncd=True, time_servers=(), sysctl={})
JOB = Job(
    "gpu1",
    Connection("gpu1", "192.0.2.1"),
    (Part("system", SYSTEM, ()), Part("docker", DockerSpec((), {}, ()), ())),
)
SOUND = Look(
    system="debian-13",
    synchronised=True,
    disks={"/": 40},
    engine="26.1.5",
    compose="2.26.1",
    containers={"chat": "running Up 2 hours (healthy)"},
)
WANTED = {"system": "aa11", "docker": "bb22"}
RECEIPT = Receipt(
    "run-1", "alice", "laptop", "0123456789ab", "0.1.0", "prod", at="2026-11-24T06:12:01Z", wanted=WANTED
)


def told(look: Look, receipt: Receipt | None = RECEIPT) -> dict[str, str]:
    found = rungs(JOB, look, Records(receipt, WANTED))
    return {rung.name: f"{rung.state}: {rung.told}" for rung in found}


def looked(folder: Path, job: Job = JOB) -> Look:
    """What the script sees; programs of `folder` come first, and its `lock` is the host's."""
    done = subprocess.run(
        ["sh", "-c", f"PATH={folder}:$PATH STACKCTL_RUN={folder}\n{script(job)}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return read(done.stdout)


def serving(*weights: str) -> Job:
    """A host with models on these directories."""
    volumes = tuple(Bind(source=place, target="/weights", read_only=True) for place in weights)
    chat = Service(image="lab/chat:1", ports=(), volumes=volumes, stop_grace_period="30s")
    project = Project(name="stackctl", services={"chat": chat})
    return replace(JOB, parts=(*JOB.parts, Part("serving", ServingSpec(project, (), (), "10.0.0.1"), ())))


def test_a_sound_host() -> None:
    assert told(SOUND) == {
        "system": "passed: debian-13",
        "lock": "passed: nobody is at work here",
        "clock": "passed: synchronised",
        "disks": "passed: / 40 %",
        "units": "passed: none has failed",
        "receipt": "passed: of 2026-11-24T06:12:01Z, by alice from laptop, commit 0123456789ab",
        "engine": "passed: Docker 26.1.5, Compose 2.26.1",
        "containers of models": "passed: chat running",
    }


def test_a_host_on_which_somebody_is_at_work_is_no_worse_for_it() -> None:
    busy = replace(SOUND, at_work="bob from desk since 2026-11-24 06:00:00 UTC")

    assert told(busy)["lock"] == (
        "warning: bob from desk since 2026-11-24 06:00:00 UTC is at work on this host"
    )


def test_an_inventory_that_wants_more_than_was_applied_is_told() -> None:
    old = replace(RECEIPT, wanted={**WANTED, "docker": "cc33"})

    [rung] = [rung for rung in rungs(JOB, SOUND, Records(old, WANTED)) if rung.name == "receipt"]

    assert rung.state == "warning"
    assert [finding.what for finding in rung.findings] == [
        "since the last apply the inventory wants something else of docker"
    ]


def test_a_host_that_no_apply_has_finished_on_is_told() -> None:
    assert told(SOUND, None)["receipt"] == "failed: no apply has come to its end on this host"


@pytest.mark.parametrize(
    ("look", "rung", "what"),
    [
        (Look(disks={"/srv": 97}), "disks", "failed: /srv is 97 % full"),
        (Look(failed=("docker.service",)), "units", "failed: docker.service has failed"),
        (Look(system="debian-12"), "system", "failed: the host is debian-12, not debian-13"),
        (Look(synchronised=False), "clock", "failed: the clock is not synchronised"),
        (Look(), "engine", "failed: Docker does not answer"),
        (Look(engine="26.1.5"), "engine", "failed: Docker has no Compose"),
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
        "case $1 in version) echo 26.1.5;; compose) echo 2.26.1;; ps) echo 'speak running Up 1 hour'; echo 'chat running Up 2 hours (healthy)';; esac",
    )

    look = looked(tmp_path)

    assert (look.synchronised, look.failed, look.engine) == (False, ("docker.service",), "26.1.5")
    assert look.compose == "2.26.1"
    assert list(look.containers.items()) == [
        ("chat", "running Up 2 hours (healthy)"),
        ("speak", "running Up 1 hour"),
    ]
    assert look.at_work is None


def test_disks_are_those_of_the_system_the_engine_and_the_weights(tmp_path: Path) -> None:
    program(tmp_path, "df", 'shift 2; for place; do printf "\\n 41%%%% %s" "$place"; done')

    look = looked(tmp_path, serving("/srv/our weights"))

    assert look.disks == {"/": 41, "/srv/our weights": 41, "/var/lib/docker": 41}


def test_a_directory_that_is_not_there_hides_no_other(tmp_path: Path) -> None:
    assert 0 <= looked(tmp_path, serving("/not/there")).disks["/"] <= 100


def test_who_holds_the_lock_is_told_and_it_is_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    file.write_text('{"who": "bob", "from": "desk", "since": "2026-11-24 06:00:00 UTC", "run": "run-7"}\n')

    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        busy = looked(tmp_path)
    idle = looked(tmp_path)

    assert (busy.at_work, idle.at_work) == ("bob from desk since 2026-11-24 06:00:00 UTC", None)
