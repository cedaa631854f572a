"""The manager of NVSwitches: there where they are, and of exactly the driver's version."""

from collections.abc import Generator

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.capabilities.gpu import GpuSpec
from stackctl.nvidia.version import upstream
from stackctl.ops.apt import INSTALL_SECONDS, LOCK_SECONDS, Packages, install_script
from stackctl.ops.gpus import Gpus
from stackctl.ops.step import TOLD, Step
from stackctl.ops.trace import saw

_SWITCH = "0680"
"""PCI class of an NVSwitch, which is there before the driver is."""
UNIT = "nvidia-fabricmanager.service"


@operation()
def managed(spec: GpuSpec) -> Generator[Step, None, None]:
    """Have the fabric up: without it CUDA fails with error 802 while everything else looks well.

    Where there are no switches the manager has nothing to do, and fails; it is then not installed.
    """
    seen = host.get_fact(Gpus)
    there = seen.switches or any(device.kind == _SWITCH for device in seen.devices)
    wanted = spec.fabric == "yes" or (spec.fabric == "auto" and there)
    if spec.names is None or not spec.names.fabric or not wanted:
        return
    driver = next((version for name, version in seen.packages.items() if name == spec.names.driver[0]), None)
    version = None if driver is None else upstream(driver)
    package = spec.names.fabric[0]
    found = host.get_fact(Packages, names=[package]).get(package)
    present = found.version if found is not None else None
    saw(f"package {package}", **({"version": present} if present else {}))
    more = ["nvlsm", "infiniband-diags"] if seen.nvlink5 else []
    if version is None:
        reason = f"install {package} at the driver's version, and wait for the fabric"
        yield Step(":", reason=reason, action="add", known=False)
        return
    if present is None or upstream(present) != version:
        yield Step(
            install_script(
                [package, *more], LOCK_SECONDS, [package] if found and found.held else [], downgrades=True
            )
            + _same(package, version),
            reason=f"{package} {present or 'is missing and'} becomes {version}, as the driver is",
            action="change" if present else "add",
            seconds=INSTALL_SECONDS,
        )
    if seen.loaded is not None and seen.units.get(UNIT) != "active":
        yield Step(
            _START if not seen.nvlink5 else _MODULES + _START,
            reason="start the manager of the NVSwitches, and wait for the fabric",
            seconds=300,
            hint=f"read `journalctl -u {UNIT}` on the host",
        )


def _same(package: str, version: str) -> str:
    return (
        f"v=$(dpkg-query -W -f '${{Version}}' {package}); v=${{v#*:}}\n"
        f'case $v in {version}[.-]*) ;; *) echo "{package} came as $v, and the driver is {version}" >&2; exit {TOLD} ;; esac\n'
    )


# The manager finds no switches of this generation without these, and says nothing of it.
_MODULES = "for m in mlx5_core mlx5_ib ib_umad; do modprobe $m || exit; done\n"
_START = f"""systemctl enable -q {UNIT} && systemctl restart {UNIT} || exit
for i in $(seq 60); do
  states=$(timeout -k 5 30 nvidia-smi --query-gpu=fabric.state --format=csv,noheader 2>/dev/null | sort -u)
  [ "$states" != Completed ] || exit 0
  sleep 3
done
echo "the fabric is not ready after three minutes: $states" >&2
exit {TOLD}
"""
