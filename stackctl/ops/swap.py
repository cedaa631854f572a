"""The running driver replaced by another without a reboot, or left as it was."""

import shlex
from collections.abc import Sequence

from stackctl.ops.step import TOLD

_DAEMONS = ("nvidia-persistenced", "nvidia-fabricmanager", "nvidia-dcgm", "dcgm-exporter")


def load_script() -> str:
    """Load the driver; a module that finds no hardware is not a broken one, and that is told apart."""
    return _LOAD


def swap_script(containers: Sequence[str], version: str | None) -> str:
    """Stop what uses the GPUs, swap the modules, and start all of it again, also where the old ones stay.

    Unloading a module that is in use may hang for ever, so that it is looked who uses one first, and the rest is left
    to a child with a time limit. Settings go with the old module, and containers get their devices from what
    describes the new one. `containers` are ids, `version` is what must be loaded then; None: whatever came.
    """
    return (
        _SWAP.replace("@CONTAINERS@", shlex.quote(" ".join(containers)))
        .replace("@DAEMONS@", " ".join(_DAEMONS))
        .replace("@VERSION@", shlex.quote(version or ""))
    )


_LOAD = f"""out=$(modprobe nvidia 2>&1) && out=$(modprobe nvidia-uvm 2>&1) || {{
  rc=$?
  case $out in
    *'No such device'*) echo "the driver's module is good, and finds no GPU that it can drive: look at the cards' power and seats, and at \\`lspci -d 10de:\\`" >&2; exit {TOLD} ;;
  esac
  printf '%s\\n' "$out" >&2
  exit $rc
}}
"""

# Debian's files have other names than the modules in them, so that rmmod is asked, which goes by the latter.
_SWAP = (
    """running= containers=@CONTAINERS@ wanted=@VERSION@
daemons() { for u in $running; do systemctl start "$u"; done; }
as_before() {
  rc=$?
  modprobe -q nvidia-uvm
  daemons
  [ -z "$containers" ] || docker start $containers >/dev/null
  exit $rc
}
trap as_before EXIT
trap 'exit 143' HUP INT TERM
for u in @DAEMONS@; do ! systemctl is-active -q "$u" || { running="$running $u"; systemctl stop "$u"; }; done
[ -z "$containers" ] || docker stop $containers >/dev/null || exit
users=$(find /proc/[0-9]*/fd -lname '/dev/nvidia*' 2>/dev/null | sed -n 's|^/proc/\\([0-9]*\\)/.*|\\1|p' | sort -un |
  while read -r p; do printf '%s (process %s), ' "$(head -n 1 "/proc/$p/comm" 2>/dev/null)" "$p"; done)
"""
    f"""[ -z "$users" ] || {{ echo "the driver cannot be replaced while ${{users%, }} uses a GPU; end it, or reboot the host and apply again" >&2; exit {TOLD}; }}
for m in nvidia_peermem nvidia_uvm nvidia_drm nvidia_modeset nvidia; do
  [ -e /sys/module/$m ] || continue
  timeout -k 5 60 rmmod "$m" || {{
    echo "the module $m cannot be unloaded: something still uses a GPU; end it, or reboot the host and apply again" >&2
    exit {TOLD}
  }}
done
"""
    + _LOAD
    + f"""loaded=$(cat /sys/module/nvidia/version)
[ -z "$wanted" ] || [ "$loaded" = "$wanted" ] || {{ echo "driver $loaded was loaded, and $wanted is wanted" >&2; exit {TOLD}; }}
daemons
for u in stackctl-gpu-tuning stackctl-cdi; do ! systemctl is-enabled -q "$u" 2>/dev/null || systemctl restart "$u" || exit; done
trap - EXIT
[ -z "$containers" ] || docker start $containers >/dev/null
"""
)
