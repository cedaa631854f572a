"""How a host is asked about its GPUs: one shell script, and what it prints read back. It changes nothing."""

from collections.abc import Callable
from typing import Any

from stackctl.nvidia import readings, smi
from stackctl.nvidia.observation import Observation

_MARK = "=== "


def script(root: str = "") -> str:
    """A POSIX shell script that tells everything in sections; `root` goes before every path that it reads."""
    return f"R='{root}'\n{_SCRIPT}"


def read(text: str) -> Observation:
    """What such a script printed; a section that is missing counts as empty."""
    sections: dict[str, list[str]] = {}
    rows: list[str] = []
    for line in text.splitlines():
        if line.startswith(_MARK):
            rows = sections.setdefault(line.removeprefix(_MARK), [])
        else:
            rows.append(line)
    found = {name: reader(sections.get(section, [])) for section, name, reader in _SECTIONS}
    return Observation(**found, **readings.packages(sections.get("packages", [])))


_SECTIONS: tuple[tuple[str, str, Callable[[list[str]], Any]], ...] = (
    ("pci", "devices", readings.devices),
    ("kernels", "kernels", readings.kernels),
    ("dkms", "builds", readings.builds),
    ("loaded", "loaded", readings.first),
    ("flavour", "flavour", readings.flavour),
    ("nouveau", "nouveau", bool),
    ("library", "library", readings.library),
    ("secure boot", "secure_boot", readings.secure_boot),
    ("key", "key_enrolled", readings.key_enrolled),
    ("holders", "holders", readings.pairs),
    ("smi", "smi", smi.read),
    ("cdi", "cdi", readings.cdi),
    ("switches", "switches", bool),
    ("nvlink5", "nvlink5", bool),
    ("units", "units", readings.pairs),
    ("xids", "xids", tuple),
    ("traces", "traces", tuple),
)

# nvidia-smi, and what asks the driver, may never come back: everything that does has a time limit.
# A file's content is sent only as far as it is needed; a CDI specification has thousands of lines.
_SCRIPT = r"""
has() { command -v "$1" >/dev/null 2>&1; }
section() { printf '=== %s\n' "$1"; }
one() { [ -r "$1" ] && head -n 1 -- "$1" 2>/dev/null; }

section pci
for d in "$R"/sys/bus/pci/devices/*; do
  [ "$(one "$d/vendor")" = 0x10de ] || continue
  driver=-
  [ ! -e "$d/driver" ] || driver=$(readlink -- "$d/driver") driver=${driver##*/}
  printf '%s %s %s %s\n' "${d##*/}" "$(one "$d/device")" "$(one "$d/class")" "$driver"
done

section kernels
running=$(one "$R/proc/sys/kernel/osrelease")
for image in "$R"/boot/vmlinuz-*; do
  [ -e "$image" ] || continue
  release=${image##*/vmlinuz-}
  modules=$R/lib/modules/$release
  headers=no version=- signer=- nouveau=no
  [ ! -e "$modules/build/Makefile" ] || headers=yes
  module=$(find "$modules" \( -name 'nvidia.ko*' -o -name 'nvidia-current.ko*' -o -name 'nvidia-current-open.ko*' \
    -o -name 'nvidia-server*.ko*' \) 2>/dev/null | head -n 1)
  if [ -n "$module" ]; then
    version=$(modinfo -F version "$module" 2>/dev/null) signer=$(modinfo -F signer "$module" 2>/dev/null)
  fi
  if [ -e "$R/etc/modprobe.d/90-stackctl-nouveau.conf" ] && [ -e "$R/boot/initrd.img-$release" ] && has lsinitramfs; then
    timeout 60 lsinitramfs "$R/boot/initrd.img-$release" 2>/dev/null | grep -q '/90-stackctl-nouveau[.]conf$' || nouveau=yes
  fi
  printf '%s|%s|%s|%s|%s|%s\n' "$release" "$running" "$headers" "${version:--}" "${signer:--}" "$nouveau"
done

section dkms
! has dkms || timeout 60 dkms status 2>/dev/null | grep -i nvidia

section loaded
one "$R/sys/module/nvidia/version"

section flavour
one "$R/proc/driver/nvidia/version"

section nouveau
[ ! -e "$R/sys/module/nouveau" ] || echo loaded

section library
for l in "$R"/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1 "$R"/usr/lib/x86_64-linux-gnu/nvidia/current/libnvidia-ml.so.1 \
  "$R"/usr/lib64/libnvidia-ml.so.1; do
  [ -e "$l" ] && readlink -f -- "$l" && break
done

section packages
dpkg-query -W -f '${Package} ${db:Status-Want} ${db:Status-Status} ${Version}\n' '*nvidia*' '*libcuda*' 'cuda-*' nvlsm 2>/dev/null

section 'secure boot'
if has mokutil; then timeout 10 mokutil --sb-state 2>&1
else
  for v in "$R"/sys/firmware/efi/efivars/SecureBoot-*; do
    [ ! -r "$v" ] || printf 'efivar %s\n' "$(od -An -t u1 -j 4 -N 1 -- "$v" | tr -d ' ')"
  done
fi

section key
if has mokutil; then
  for k in "$R/var/lib/dkms/mok.pub" "$R/var/lib/shim-signed/mok/MOK.der"; do
    [ ! -e "$k" ] || timeout 10 mokutil --test-key "$k" 2>&1
  done
fi

section holders
find "$R"/proc/[0-9]*/fd -maxdepth 1 -lname '/dev/nvidia*' 2>/dev/null | sed 's|/fd/.*||' | sort -u |
  while read -r p; do
    container=$(sed -n 's/.*docker[-/]\([0-9a-f]\{12\}\)[0-9a-f]*.*/\1/p' "$p/cgroup" 2>/dev/null | head -n 1)
    printf '%s %s%s\n' "${p##*/}" "$(one "$p/comm")" "${container:+ in container $container}"
  done

section smi
if has nvidia-smi; then
  query() { timeout -k 5 30 nvidia-smi --query-gpu="$1" --format=csv,noheader,nounits 2>&1; }
  base=uuid,pci.bus_id,name,persistence_mode,power.limit,ecc.mode.current,ecc.mode.pending,mig.mode.current,mig.mode.pending
  out=$(query "$base"); status=$?
  printf 'status %s\n' "$status"
  if [ "$status" = 0 ]; then
    printf '%s\n' "$out" | sed 's/^/gpu /'
    query uuid,clocks.applications.memory,clocks.applications.graphics | sed -n 's/^GPU-/clocks GPU-/p'
    query uuid,fabric.state,fabric.status | sed -n 's/^GPU-/fabric GPU-/p'
    timeout -k 5 30 nvidia-smi -L 2>/dev/null | sed 's/^/list /'
  else
    printf '%s\n' "$out" | head -n 5 | sed 's/^/said /'
  fi
fi

section cdi
for f in "$R"/etc/cdi/*.yaml "$R"/etc/cdi/*.json "$R"/var/run/cdi/*.yaml "$R"/var/run/cdi/*.json; do
  [ -r "$f" ] && grep -q 'nvidia.com/gpu' "$f" || continue
  printf 'spec %s %s\n' "$(sed -n 's/.*libcuda[.]so[.]\([0-9][0-9.]*[0-9]\).*/\1/p' "$f" | grep '[.]' | head -n 1)" "${f#"$R"}"
  sed -n 's/^[[:space:]-]*"\{0,1\}name"\{0,1\}: *"\{0,1\}\([A-Za-z0-9:-]*\)"\{0,1\},\{0,1\}$/device \1/p' "$f"
  sed -n 's/^[[:space:]-]*"\{0,1\}hostPath"\{0,1\}: *"\{0,1\}\([^",]*\)"\{0,1\},\{0,1\}$/\1/p' "$f" | sort -u |
    while read -r path; do [ -e "$R$path" ] || printf 'missing %s\n' "$path"; done
done
! has docker || printf 'docker %s\n' "$(timeout 20 docker info --format '{{json .CDISpecDirs}}' 2>/dev/null)"

section switches
ls -- "$R/proc/driver/nvidia-nvswitch/devices" 2>/dev/null
for v in "$R"/sys/class/infiniband/*/device/vpd; do [ ! -r "$v" ] || ! grep -aqs SW_MNG -- "$v" || echo "$v"; done

section nvlink5
for v in "$R"/sys/class/infiniband/*/device/vpd; do [ ! -r "$v" ] || ! grep -aqs SW_MNG -- "$v" || echo "$v"; done

section units
for u in nvidia-persistenced nvidia-fabricmanager nvidia-cdi-refresh.path stackctl-gpu-tuning docker; do
  state=$(systemctl show -p LoadState -p ActiveState --value -- "$u" 2>/dev/null | tr '\n' ' ')
  case $state in loaded*) printf '%s %s\n' "$u" "$(printf '%s' "${state#loaded}" | tr -d ' ')" ;; esac
done

section xids
if has journalctl; then timeout 30 journalctl -k -b --no-pager -q -o short-iso -g 'NVRM: Xid' 2>/dev/null | tail -n 50
fi

section traces
for f in nvidia-uninstall nvidia-installer; do
  [ ! -x "$R/usr/bin/$f" ] || dpkg-query -S "/usr/bin/$f" >/dev/null 2>&1 || echo "a runfile installation of the driver (/usr/bin/$f)"
done
for f in "$R"/usr/local/cuda-*/bin/cuda-uninstaller; do
  [ ! -e "$f" ] || echo "a runfile installation of CUDA (${f#"$R"})"
done
true
"""
