"""What the doctor asks of a host: what it shows, then a container on each GPU. Nothing of it lasts."""

import shlex
from importlib.resources import files

from stackctl.capabilities.gpu import GpuSpec
from stackctl.capabilities.serving import ServingSpec
from stackctl.core.job import Job
from stackctl.doctor import general
from stackctl.doctor.rung import Case, Trial
from stackctl.engine.batch import Answer, Command
from stackctl.engine.work import Work
from stackctl.nvidia import observe
from stackctl.nvidia.smi import uuids

_READING = 300
_STARTING = 180
_OUT_OF_MEMORY = "CUDA error 2"
_NO_PROGRAM = (126, 127)
"""Exit statuses of `docker run` where the image lacks the program."""


def examined(job: Job) -> Work[Case | None]:
    """The GPUs of a host as declared and as seen; None where it has none and is to have none."""
    spec = next((part.spec for part in job.parts if isinstance(part.spec, GpuSpec)), None)
    if spec is None:
        return None
    (answer,) = yield (Command(observe.script(), _READING),)
    seen = observe.read(answer.stdout)
    images = _images(job)
    wanted = [card.uuid for card in spec.cards if card.use == "containers" and card.uuid and not card.mig]
    if seen.smi.status != 0 or not wanted or not images:
        return Case(job.host, spec, seen)
    (answer,) = yield (Command(_first_there(images), _STARTING),)
    image = answer.stdout.strip()
    if not image:
        return Case(job.host, spec, seen)
    trials = {}
    for uuid in wanted:
        listed, added = yield (_run(image, uuid, "nvidia-smi", "-L"), _add(image, uuid))
        trials[uuid] = _trial(listed, added)
    return Case(job.host, spec, seen, trials, image)


def looked_over() -> Work[general.Look]:
    """The rest of the host."""
    (answer,) = yield (Command(general.script(), _READING),)
    return general.read(answer.stdout)


def _images(job: Job) -> tuple[str, ...]:
    found = (part.spec for part in job.parts if isinstance(part.spec, ServingSpec))
    return tuple(dict.fromkeys(item.image for spec in found for item in spec.running))


def _first_there(images: tuple[str, ...]) -> str:
    words = " ".join(map(shlex.quote, images))
    return (
        f'for i in {words}; do docker image inspect -- "$i" >/dev/null 2>&1 && printf \'%s\\n\' "$i" && break; done\n'
        "true\n"
    )


def _run(image: str, uuid: str, *words: str) -> Command:
    return Command(f"{_container(image, uuid, words[0])} {shlex.join(words[1:])} </dev/null", _STARTING)


def _add(image: str, uuid: str) -> Command:
    text = files("stackctl.agents").joinpath("cuda_check.py").read_text("utf-8")
    return Command(f"{_container(image, uuid, 'python3')} - <<'PROGRAM'\n{text}\nPROGRAM\n", _STARTING)


def _container(image: str, uuid: str, program: str) -> str:
    """No network, no pull, and gone when it ends."""
    device = shlex.quote(f"nvidia.com/gpu={uuid}")
    return (
        "docker run --rm -i --pull never --network none --read-only --cap-drop ALL"
        f" --device {device} --entrypoint {program} {shlex.quote(image)}"
    )


def _trial(listed: Answer, added: Answer) -> Trial:
    if listed.status != 0:
        said = (listed.stderr or listed.stdout).strip().splitlines()
        return Trial(failed=said[-1] if said else f"exit status {listed.status}")
    told = (added.stdout.strip() or added.stderr.strip()).splitlines()
    last = told[-1] if told else f"exit status {added.status}"
    worked: bool | None = added.status == 0
    if added.status in _NO_PROGRAM:
        worked, last = None, "the image has no Python to run a program with"
    elif _OUT_OF_MEMORY in last:
        worked, last = None, "the GPU's memory is taken by what runs on it"
    return Trial(uuids(listed.stdout), None, worked, last)
