"""What the doctor asks of a host: what it shows, then a container on each GPU. Nothing of it lasts."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files

from stackctl.capabilities.gpu import GpuSpec
from stackctl.capabilities.serving import ServingSpec
from stackctl.core.job import Job
from stackctl.doctor import general
from stackctl.doctor.rung import Case, Trial
from stackctl.engine import record
from stackctl.engine.batch import TIMED_OUT, Answer, Command
from stackctl.engine.work import Work
from stackctl.nvidia import observe
from stackctl.nvidia.smi import uuids
from stackctl.plan.receipt import Receipt, read_receipt

_READING = 300
_STARTING = 180
_DIAGNOSING = 300
_NO_DIAGNOSIS = 66
_OUT_OF_MEMORY = "CUDA error 2"
_NO_PROGRAM = (126, 127)
"""Exit statuses of `docker run` where the image lacks the program."""
_NO_PYTHON = "the image has no Python to run a program with"


def examined(job: Job) -> Work[Case | None]:
    """The GPUs of a host as declared and as seen; None where it has none and is to have none."""
    spec = next((part.spec for part in job.parts if isinstance(part.spec, GpuSpec)), None)
    if spec is None:
        return None
    (answer,) = yield (Command(observe.script(), _READING),)
    case = Case(job.host, spec, observe.read(answer.stdout))
    images = _images(job)
    if case.seen.smi.status != 0 or not case.given or not images:
        return case
    (answer,) = yield (Command(_first_there(images), _STARTING),)
    image = answer.stdout.strip()
    if not image:
        return case
    trials = {}
    for _, uuid in case.given:
        listed, added = yield (_list(image, uuid), _add(image, uuid))
        trials[uuid] = _trial(listed, added)
    if any(trial.told == _NO_PYTHON for trial in trials.values()):
        (answer,) = yield (_DIAGNOSE,)
        trials = _diagnosed(trials, answer)
    return replace(case, trials=trials, image=image)


def looked_over(job: Job) -> Work[tuple[general.Look, Receipt | None]]:
    """The rest of the host, and what the last apply left of itself."""
    answer, receipt = yield (Command(general.script(job), _READING), record.READ_RECEIPT)
    return general.read(answer.stdout), read_receipt(receipt.stdout)


def _images(job: Job) -> tuple[str, ...]:
    found = (part.spec for part in job.parts if isinstance(part.spec, ServingSpec))
    return tuple(dict.fromkeys(item.image for spec in found for item in spec.running))


def _first_there(images: tuple[str, ...]) -> str:
    words = " ".join(map(shlex.quote, images))
    return (
        f'for i in {words}; do docker image inspect -- "$i" >/dev/null 2>&1 && printf \'%s\\n\' "$i" && break; done\n'
        "true\n"
    )


def _list(image: str, uuid: str) -> Command:
    return Command(_container(image, uuid, "nvidia-smi", "-L </dev/null"), _STARTING)


def _add(image: str, uuid: str) -> Command:
    text = files("stackctl.agents").joinpath("cuda_check.py").read_text("utf-8")
    return Command(_container(image, uuid, "python3", f"- <<'PROGRAM'\n{text}\nPROGRAM"), _STARTING)


def _container(image: str, uuid: str, program: str, rest: str) -> str:
    """No network, no pull, and gone when it ends; one that does not end is removed, whatever runs in it."""
    device = shlex.quote(f"nvidia.com/gpu={uuid}")
    return (
        "name=stackctl-doctor-$$\n"
        f"timeout -k 5 {_STARTING - 30} docker run --name $name --rm -i --pull never --network none --read-only"
        f" --cap-drop ALL --device {device} --entrypoint {program} {shlex.quote(image)} {rest}\n"
        f"r=$?; case $r in {TIMED_OUT}|137) timeout 20 docker rm -f $name >/dev/null 2>&1 ;; esac; exit $r\n"
    )


def _trial(listed: Answer, added: Answer) -> Trial:
    if listed.status != 0:
        return Trial(failed=_last(listed.stderr or listed.stdout, listed.status))
    told = _last(added.stdout.strip() or added.stderr, added.status)
    worked: bool | None = added.status == 0
    if added.status in _NO_PROGRAM:
        worked, told = None, _NO_PYTHON
    elif told.endswith(_OUT_OF_MEMORY):
        worked, told = None, "the GPU's memory is taken by what runs on it"
    return Trial(uuids(listed.stdout), None, worked, told)


def _last(text: str, status: int) -> str:
    if status == TIMED_OUT:
        return "it did not end in time"
    said = text.strip().splitlines()
    return said[-1] if said else f"exit status {status}"


_DIAGNOSE = Command(
    f"command -v dcgmi >/dev/null || exit {_NO_DIAGNOSIS}\ndcgmi diag -r 1 </dev/null\n", _DIAGNOSING
)
"""Instead of a program in a container: NVIDIA's own quick look, where the host has it."""


def _diagnosed(trials: Mapping[str, Trial], answer: Answer) -> dict[str, Trial]:
    if answer.status == _NO_DIAGNOSIS:
        told, worked = f"{_NO_PYTHON}, and the host no dcgmi", None
    else:
        failed = next((line.strip("| ") for line in answer.stdout.splitlines() if "Fail" in line), "")
        worked = answer.status == 0
        told = "passed dcgmi" if worked else f"dcgmi: {failed or _last(answer.stderr, answer.status)}"
    return {
        uuid: replace(trial, worked=worked, told=told) if trial.told == _NO_PYTHON else trial
        for uuid, trial in trials.items()
    }
