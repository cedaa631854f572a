"""GPUs described to the container engine, and handed out by nothing but these descriptions."""

import re
import shlex
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.capabilities.docker import CDI_FILE, CDI_UNIT
from stackctl.core.finding import Finding, FindingsError
from stackctl.nvidia.observation import Observation
from stackctl.ops.gpus import Gpus
from stackctl.ops.step import TOLD, Step, changes
from stackctl.ops.trace import saw
from stackctl.ops.wording import some

OLDEST_ENGINE = (26, 1)
"""The first Docker that reads the specifications that the toolkit writes (CDI 0.7)."""
CONFIG = "/etc/nvidia-container-runtime/config.toml"
_SETTING = "accept-nvidia-visible-devices-envvar-when-unprivileged"


class EngineVersion(FactBase[str]):
    """Version of Docker as it runs; empty where none answers."""

    def command(self) -> str:
        """Asked of the engine itself."""
        return "timeout 20 docker version --format '{{.Server.Version}}' 2>/dev/null || true"

    @staticmethod
    def default() -> str:
        """None."""
        return ""

    def process(self, output: Iterable[str]) -> str:
        """One line."""
        return next(iter(output), "").strip()


class RuntimeSetting(FactBase[str]):
    """Whether containers may ask for GPUs by a variable, as the toolkit's configuration has it; empty: no file."""

    def command(self) -> str:
        """The one line, commented out or not."""
        return f"[ ! -e {CONFIG} ] || {{ echo there; grep -E '^{_SETTING} *=' {CONFIG} || true; }}"

    @staticmethod
    def default() -> str:
        """No file."""
        return ""

    def process(self, output: Iterable[str]) -> str:
        """`there`, then the line where it is set."""
        rows = [row.strip() for row in output]
        return rows[-1].rpartition("=")[2].strip() if rows else ""


@operation()
def engine_knows() -> Generator[Step, None, None]:
    """Refuse an engine that cannot read the specifications, which are the only way GPUs are handed out."""
    found = host.get_fact(EngineVersion)
    match = re.match(r"([0-9]+)[.]([0-9]+)", found)
    if match and (int(match[1]), int(match[2])) < OLDEST_ENGINE:
        what = f"Docker {found} does not know how GPUs are handed out here"
        raise FindingsError(Finding("engine", what, "install Docker 26.1 or newer, or a newer system"))
    yield from ()


@operation()
def isolated() -> Generator[Step, None, None]:
    """Have no container get GPUs by a variable that any image may set."""
    found = host.get_fact(RuntimeSetting)
    saw(f"setting {_SETTING}", **({"value": found} if found else {}))
    if found != "false":
        yield Step(
            f"nvidia-ctk config --in-place --config-file={CONFIG} --set {_SETTING}=false >&2",
            reason="keep images from taking GPUs by NVIDIA_VISIBLE_DEVICES",
            known=bool(found),
        )


@operation()
def specified(uuids: Sequence[str], after: Sequence[Any] = ()) -> Generator[Step, None, None]:
    """Have the GPUs described as they are now, at every boot before the engine starts, and in one place only."""
    seen = host.get_fact(Gpus)
    stale = [path for path in seen.cdi.specs if path.startswith("/etc/cdi/") and _is_old(seen, path)]
    if seen.loaded is not None and stale:
        words = " ".join(map(shlex.quote, stale))
        yield Step(
            f"rm -f -- {words}",
            reason=f"remove {some(stale)}, of another driver: it goes before the right one",
            action="remove",
        )
    touched = any([changes(operation) for operation in after])
    saw("CDI specification", **({"driver": version} if (version := seen.cdi.specs.get(CDI_FILE)) else {}))
    if not any("vfio" not in (device.driver or "") for device in seen.gpus):
        return
    why = next(_reasons(seen, uuids, stale), None) or ("what describes them changes" if touched else None)
    if why is not None:
        yield Step(
            _SCRIPT.replace("@UUIDS@", " ".join(map(shlex.quote, uuids))),
            reason=f"describe the GPUs to the engine, {why}",
            seconds=180,
            known=seen.loaded is not None,
            hint=f"read `journalctl -u {CDI_UNIT}` on the host",
        )


def _is_old(seen: Observation, path: str) -> bool:
    version = seen.cdi.specs[path]
    return version is not None and version != seen.loaded


def _reasons(seen: Observation, uuids: Sequence[str], stale: Sequence[str]) -> Iterator[str]:
    cdi = seen.cdi
    fresh = [path for path in cdi.specs if path not in stale]
    if not fresh:
        yield "nothing does yet"
    for path in fresh:
        if _is_old(seen, path):
            yield f"{path} is of driver {cdi.specs[path]} and {seen.loaded} runs"
    if cdi.missing and not stale:
        yield f"a specification names {cdi.missing[0]}, which is not there"
    slices = [uuid for gpu in seen.smi.gpus for uuid in gpu.mig_uuids]
    unknown = [uuid for uuid in (*uuids, *slices) if f"nvidia.com/gpu={uuid}" not in cdi.devices]
    if unknown:
        yield f"{some(unknown)} {'is' if len(unknown) == 1 else 'are'} in no specification"


_SCRIPT = f"""systemctl daemon-reload && systemctl enable -q {CDI_UNIT} && systemctl restart {CDI_UNIT} || {{
  journalctl --no-pager -q -o cat -n 10 -u {CDI_UNIT} >&2
  exit 1
}}
for u in @UUIDS@; do
  timeout 60 nvidia-ctk cdi list 2>/dev/null | grep -qxF "nvidia.com/gpu=$u" || {{
    echo "no specification has the GPU $u" >&2
    exit {TOLD}
  }}
done
"""
