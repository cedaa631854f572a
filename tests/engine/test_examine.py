"""What the doctor asks of a host, on a fake one with a fake Docker."""

from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.capabilities.serving import Running, ServingSpec
from stackctl.core.artifact import Artifact
from stackctl.core.compose import Project
from stackctl.core.connection import Connection
from stackctl.core.job import Job, Part
from stackctl.doctor.rung import Case, Trial
from stackctl.engine.examine import examined
from stackctl.engine.run import Run
from stackctl.engine.work import Reconnect
from stackctl.nvidia import observe
from tests.engine.fleet import ALICE
from tests.engine.local import LocalSession
from tests.nvidia.fakes import FakeHost
from tests.ops.gpuhost import SPEC, UUID, working

IMAGE = "lab/chat:1"


def job(*specs: object) -> Job:
    return Job("gpu1", Connection("gpu1", "192.0.2.1"), tuple(Part("x", spec, ()) for spec in specs))


def serving() -> object:
    running = Running("chat", "chat", IMAGE, "http://127.0.0.1:8000/health", 60)
    return ServingSpec(Project(name="stackctl", services={}), (running,), (), ())


def case(host: FakeHost, wanted: Job) -> Case | None:
    """The doctor's questions, answered by the host's own programs."""
    session = LocalSession(host.bin)
    work = examined(wanted)
    try:
        request = next(work)
        while True:
            assert not isinstance(request, Reconnect)
            request = work.send(session.run(request))
    except StopIteration as stopped:
        result: Case | None = stopped.value
        return result
    finally:
        session.close()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    found = working(tmp_path)
    monkeypatch.setattr("stackctl.engine.examine.observe.script", lambda: observe_script(found))
    return found


REAL = observe.script


def observe_script(host: FakeHost) -> str:
    return REAL(str(host.root))


DOCKER = f"""case "$*" in
  'image inspect -- {IMAGE}') exit 0;;
  *'--entrypoint nvidia-smi'*) [ -z "$refuse" ] || {{ echo "$refuse" >&2; exit 125; }}
    echo 'GPU 0: NVIDIA Test 1 (UUID: {UUID})';;
  *'--entrypoint python3'*) @PYTHON@;;
  *) exit 1;;
esac
echo "$*" >>@CALLS@"""


def with_docker(host: FakeHost, python: str, refuse: str = "") -> Path:
    calls = host.path / "calls"
    script = DOCKER.replace("@PYTHON@", python).replace("@CALLS@", str(calls))
    host.program("docker", f"refuse='{refuse}'\n{script}")
    return calls


def test_a_container_on_each_gpu_is_tried_and_nothing_is_pulled_or_kept(host: FakeHost) -> None:
    calls = with_docker(host, 'grep -q cuLaunchKernel && echo "passed NVIDIA Test 1"')

    found = case(host, job(SPEC, serving()))

    assert found is not None
    assert found.trials == {UUID: Trial((UUID,), None, True, "passed NVIDIA Test 1")}
    runs = [line for line in calls.read_text().splitlines() if line.startswith("run")]
    always = (
        f"run --rm -i --pull never --network none --read-only --cap-drop ALL --device nvidia.com/gpu={UUID}"
    )
    assert [line.startswith(always) for line in runs] == [True, True]


@pytest.mark.parametrize(
    ("python", "trial"),
    [
        ("exit 127", Trial((UUID,), None, None, "the image has no Python to run a program with")),
        (
            "echo 'cuDevicePrimaryCtxRetain failed with CUDA error 2'; exit 1",
            Trial((UUID,), None, None, "the GPU's memory is taken by what runs on it"),
        ),
        (
            "echo 'cuInit failed with CUDA error 802'; exit 1",
            Trial((UUID,), None, False, "cuInit failed with CUDA error 802"),
        ),
    ],
)
def test_what_the_program_says_is_told(host: FakeHost, python: str, trial: Trial) -> None:
    with_docker(host, python)

    found = case(host, job(SPEC, serving()))

    assert found is not None
    assert found.trials == {UUID: trial}


def test_a_container_that_does_not_start_says_why(host: FakeHost) -> None:
    with_docker(host, "exit 125", refuse="docker: unresolvable CDI devices")

    found = case(host, job(SPEC, serving()))

    assert found is not None
    assert found.trials[UUID].failed == "docker: unresolvable CDI devices"


def test_without_an_image_no_container_is_tried(host: FakeHost) -> None:
    calls = with_docker(host, "true")

    found = case(host, job(SPEC))

    assert found is not None
    assert (found.trials, calls.exists()) == ({}, False)


def test_a_host_without_gpus_is_not_asked(host: FakeHost) -> None:
    assert case(host, job(Artifact("/x", ""))) is None


def test_cards_for_virtual_machines_are_not_tried(host: FakeHost) -> None:
    with_docker(host, "true")
    [card] = SPEC.cards

    found = case(host, job(replace(SPEC, cards=(replace(card, use="passthrough"),)), serving()))

    assert found is not None
    assert found.trials == {}


DEPLOY = """
from pyinfra.api import deploy
from stackctl.ops import files

@deploy("gpu")
def gpu(spec, files_):
    files.write(name="write the GPUs' settings", artifacts=files_)
"""


@pytest.mark.parametrize("capability", ["gpu", "system"])
def test_an_apply_that_changed_a_driver_ends_with_the_doctor(
    host: FakeHost, tmp_path: Path, capability: str
) -> None:
    """Its CDI specification is missing, which only the doctor looks at here."""
    (tmp_path / "gpu.py").write_text(DEPLOY.replace("gpu", capability))
    setting = Artifact(str(tmp_path / "setting"), "x\n")
    wanted = Job("gpu1", Connection("gpu1", "192.0.2.1"), (Part(capability, SPEC, (setting,)),))
    run = Run(
        "test",
        [wanted],
        lambda _: tmp_path / "gpu.py",
        lambda _: None,
        lambda: ALICE,
        new_session=lambda _: LocalSession(host.bin),
    )
    run.connect()

    [outcome] = run.apply(run.plan()).hosts

    assert [change.operation for change in outcome.done] == ["write the GPUs' settings"]
    told = [finding.what for finding in outcome.findings]
    assert told == (["there is no specification of the GPUs"] if capability == "gpu" else [])
