"""GPUs described to the container engine, afresh whenever what describes them changes.

The engine hands out what a specification lists, as part of a container's own configuration: systemd knows of the
devices, and a `daemon-reload` leaves them to the container. What NVIDIA's older hook adds behind systemd's back is lost.
"""

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
from stackctl.ops.unitstate import Unit
from stackctl.ops.wording import some

OLDEST_ENGINE = (26, 1)
"""The first Docker that reads the specifications that the toolkit writes (CDI 0.7)."""

_COPIES = "/etc/cdi/"
"""Where people once put what the toolkit printed; nobody keeps it up to date."""


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
def specified(uuids: Sequence[str], after: Sequence[Any] = (), root: str = "") -> Generator[Step, None, None]:
    """Have the GPUs described as they are now, and at every boot before the engine starts; copies that are old go.

    `after` writes the unit that describes them; `root` is where the host's files begin.
    """
    seen = host.get_fact(Gpus)
    state = host.get_fact(Unit, unit=CDI_UNIT, files=())
    rewritten = any([changes(operation) for operation in after])
    saw("CDI specification", **({"driver": version} if (version := seen.cdi.specs.get(CDI_FILE)) else {}))
    if state.enabled != "enabled":
        enable = f"systemctl enable -q -- {CDI_UNIT}"
        yield Step(enable, reason="describe the GPUs at every boot", known=state.exists)
    old = dict(_old_copies(seen))
    if old:
        yield Step(
            f"rm -f -- {' '.join(shlex.quote(f'{root}{path}') for path in old)}",
            reason="; ".join(f"remove {path}, {why}" for path, why in old.items()),
            action="remove",
        )
    if not any("vfio" not in (device.driver or "") for device in seen.gpus):
        return
    why = next(_reasons(seen, uuids), None)
    if why is not None or rewritten:
        yield Step(
            _SCRIPT.replace("@UUIDS@", " ".join(map(shlex.quote, uuids))).replace(
                "@FILE@", shlex.quote(f"{root}{CDI_FILE}")
            ),
            reason=f"describe the GPUs to the engine{f', {why}' if why else ' anew'}",
            seconds=180,
            known=seen.loaded is not None,
            hint=f"read `journalctl -u {CDI_UNIT}` on the host",
        )


def _old_copies(seen: Observation) -> Iterator[tuple[str, str]]:
    """The engine goes by a copy for all that the fresh specification does not list, and whenever that is not there."""
    for path in seen.cdi.specs if seen.loaded is not None else ():
        if path.startswith(_COPIES) and _is_old(seen, path):
            yield path, f"which is of driver {seen.cdi.specs[path]} while {seen.loaded} runs"
        elif path.startswith(_COPIES) and path in seen.cdi.missing:
            yield path, f"which names {_gone(seen, path)}"


def _is_old(seen: Observation, path: str) -> bool:
    version = seen.cdi.specs[path]
    return version is not None and version != seen.loaded


def _gone(seen: Observation, path: str) -> str:
    missing = seen.cdi.missing[path]
    return f"{some(missing)}, which {'is' if len(missing) == 1 else 'are'} not there"


def _reasons(seen: Observation, uuids: Sequence[str]) -> Iterator[str]:
    cdi = seen.cdi
    if CDI_FILE not in cdi.specs:
        yield "nothing does yet"
        return
    if seen.loaded is None:
        yield "once the driver runs"
    elif _is_old(seen, CDI_FILE):
        yield f"{CDI_FILE} is of driver {cdi.specs[CDI_FILE]} and {seen.loaded} runs"
    if CDI_FILE in cdi.missing:
        yield f"{CDI_FILE} names {_gone(seen, CDI_FILE)}"
    there = [device.rpartition("=")[2] for device in cdi.devices]
    parts = [uuid for gpu in seen.smi.gpus for uuid in gpu.mig_uuids]
    if unknown := [uuid for uuid in (*uuids, *parts) if uuid not in there]:
        yield f"{some(unknown)} {'is' if len(unknown) == 1 else 'are'} in no specification"
    gone = [uuid for uuid in there if uuid.startswith("MIG-") and uuid not in parts]
    if gone and seen.smi.status == 0:
        yield f"{some(gone)} {'is' if len(gone) == 1 else 'are'} gone"


# A container that was given its GPU by the older hook would lose it to a needless daemon-reload.
_SCRIPT = f"""[ "$(systemctl show -p NeedDaemonReload --value -- {CDI_UNIT})" = no ] || systemctl daemon-reload
systemctl restart -- {CDI_UNIT} || {{
  rc=$?
  journalctl --no-pager -q -o cat -n 10 -u {CDI_UNIT} >&2
  exit $rc
}}
[ -s @FILE@ ] || {{ echo "{CDI_UNIT} wrote nothing: the driver cannot be loaded" >&2; exit {TOLD}; }}
listed=$(timeout 60 nvidia-ctk cdi list 2>/dev/null)
for u in @UUIDS@; do
  printf '%s\\n' "$listed" | grep -qxF "nvidia.com/gpu=$u" || {{
    echo "no specification lists the GPU $u: compare with nvidia-smi -L; two files that list the same GPU count as none" >&2
    exit {TOLD}
  }}
done
"""
