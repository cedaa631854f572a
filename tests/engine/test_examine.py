"""What the doctor asks of a host, on a fake one with a fake Docker."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.capabilities.gpu import GpuSpec
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
from stackctl.plan.change import HostOutcome
from tests.engine.fleet import ALICE
from tests.engine.local import LocalSession
from tests.nvidia.fakes import FakeHost
from tests.ops.gpuhost import PCI, SPEC, UUID, with_card, working

IMAGE = "lab/chat:1"


def job(*specs: object) -> Job:
    return Job("gpu1", Connection("gpu1", "192.0.2.1"), tuple(Part("x", spec, ()) for spec in specs))


def serving() -> object:
    running = Running("chat", "chat", IMAGE, "http://127.0.0.1:8000/health", 60)
    return ServingSpec(Project(name="stackctl", services={}), (running,), (), "127.0.0.1")


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


DOCKER = f"""echo "$*" >>@CALLS@
case "$*" in
  'image inspect -- {IMAGE}') exit 0;;
  *'--entrypoint nvidia-smi'*) [ -z "$refuse" ] || {{ echo "$refuse" >&2; exit 125; }}
    echo 'GPU 0: NVIDIA Test 1 (UUID: {UUID})';;
  *'--entrypoint python3'*) @PYTHON@;;
  *) exit 1;;
esac"""


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
    always = f"--rm -i --pull never --network none --read-only --cap-drop ALL --device nvidia.com/gpu={UUID}"
    assert [always in line for line in runs] == [True, True]


def test_each_instance_of_a_split_gpu_is_tried_by_its_own_uuid(host: FakeHost) -> None:
    host.cards.clear()
    host.smi()
    instances = (("3g.40gb", "MIG-1"), ("3g.40gb", "MIG-2"))
    host.smi_gpu(UUID, PCI, mig=instances, mig_mode_current="Enabled", mig_mode_pending="Enabled")
    host.program(
        "docker",
        """case "$*" in
  image*) ;;
  *python3*) echo passed;;
  *) of=${*#*nvidia.com/gpu=}; of=${of%% *}
    printf 'GPU 0: NVIDIA Test 1 (UUID: GPU-1)\\n  MIG 3g.40gb     Device  0: (UUID: %s)\\n' "$of";;
esac""",
    )

    found = case(host, job(with_card(mig=("3g.40gb", "3g.40gb")), serving()))

    assert found is not None
    assert found.trials == {
        "MIG-1": Trial(("MIG-1",), None, True, "passed"),
        "MIG-2": Trial(("MIG-2",), None, True, "passed"),
    }


@pytest.mark.parametrize(
    ("dcgmi", "worked", "told"),
    [
        (None, None, "the image has no Python to run a program with, and the host no dcgmi"),
        ("echo '| Deployment | Pass |'", True, "passed dcgmi"),
        ("echo '| Memory | Fail |'; exit 226", False, "dcgmi: Memory | Fail"),
    ],
)
def test_without_python_in_the_image_dcgmi_has_a_look(
    host: FakeHost, dcgmi: str | None, worked: bool | None, told: str
) -> None:
    with_docker(host, "exit 127")
    if dcgmi is not None:
        host.program("dcgmi", dcgmi)

    found = case(host, job(SPEC, serving()))

    assert found is not None
    assert found.trials == {UUID: Trial((UUID,), None, worked, told)}


def test_a_container_that_does_not_end_is_removed(host: FakeHost) -> None:
    calls = with_docker(host, "exit 124")

    found = case(host, job(SPEC, serving()))

    assert found is not None
    assert found.trials[UUID] == Trial((UUID,), None, False, "it did not end in time")
    named = [line.split()[2] for line in calls.read_text().splitlines() if "--entrypoint python3" in line]
    assert [line for line in calls.read_text().splitlines() if line.startswith("rm")] == [f"rm -f {named[0]}"]


@pytest.mark.parametrize(
    ("python", "trial"),
    [
        (
            "echo 'cuDevicePrimaryCtxRetain failed with CUDA error 2'; exit 1",
            Trial((UUID,), None, None, "the GPU's memory is taken by what runs on it"),
        ),
        (
            "echo 'cuCtxSynchronize failed with CUDA error 214'; exit 1",
            Trial((UUID,), None, False, "cuCtxSynchronize failed with CUDA error 214"),
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
    assert found.trials == {}
    assert "run" not in calls.read_text()


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


def applied(host: FakeHost, capability: str, spec: GpuSpec = SPEC) -> HostOutcome:
    """How an apply ends whose one change is of this capability."""
    deploy = host.path / "gpu.py"
    deploy.write_text(DEPLOY.replace("gpu", capability))
    setting = Artifact(str(host.path / "setting"), "x\n")
    wanted = Job("gpu1", Connection("gpu1", "192.0.2.1"), (Part(capability, spec, (setting,)),))
    session = LocalSession(host.bin)
    run = Run("test", [wanted], lambda _: deploy, lambda _: None, lambda: ALICE, lambda _: session)
    run.connect()
    with closing(run):
        [outcome] = run.apply(run.plan()).hosts
        return outcome


@pytest.mark.parametrize("capability", ["gpu", "system"])
def test_an_apply_that_changed_a_driver_ends_with_the_doctor(host: FakeHost, capability: str) -> None:
    """Its CDI specification is missing, which only the doctor looks at here."""
    host.says("docker", "[]")

    outcome = applied(host, capability)

    assert [change.operation for change in outcome.done] == ["write the GPUs' settings"]
    told = [finding.what for finding in outcome.findings]
    assert told == (["there is no specification of the GPUs"] if capability == "gpu" else [])
    assert outcome.failed is (capability == "gpu")


def test_what_is_only_left_to_do_fails_no_apply(host: FakeHost) -> None:
    host.cdi("var/run/cdi/nvidia.yaml", f"kind: nvidia.com/gpu\ndevices:\n- name: {UUID}\n")
    host.says("docker", '["/var/run/cdi"]')

    outcome = applied(host, "gpu", with_card(pci=None))

    assert (len(outcome.done), outcome.findings, outcome.failed) == (1, (), False)
