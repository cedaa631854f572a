# Prints what a host shows of its GPUs, in sections, and changes nothing. R is the root that all paths begin with.
export LC_ALL=C
S() { printf '@@ %s\n' "$1"; }
one() { head -n 1 "$1" 2>/dev/null | tr -d '\n'; }
run() { t=$1; shift; command -v "$1" >/dev/null 2>&1 && timeout -k 5 "$t" "$@" 2>/dev/null </dev/null; }

S devices
found=
for d in "$R"/sys/bus/pci/devices/*; do
  [ "$(one "$d/vendor")" = 0x10de ] || continue
  found=1
  driver=$(readlink "$d/driver") && driver=${driver##*/}
  printf '%s|%s|%s|%s\n' "${d##*/}" "$(one "$d/device")" "$(one "$d/class")" "$driver"
done

S loaded
one "$R/sys/module/nvidia/version"; echo
S procversion
head -n 1 "$R/proc/driver/nvidia/version" 2>/dev/null
S nouveau
[ -d "$R/sys/module/nouveau" ] && echo yes

S kernels
running=$(one "$R/proc/sys/kernel/osrelease")
black=$(grep -lsE '^[[:space:]]*blacklist[[:space:]]+nouveau' "$R"/etc/modprobe.d/*.conf "$R"/lib/modprobe.d/*.conf "$R"/usr/lib/modprobe.d/*.conf | head -n 1)
for image in "$R"/boot/vmlinuz-*; do
  [ -e "$image" ] || continue
  release=${image##*/vmlinuz-}
  modules=$R/lib/modules/$release
  headers=no; [ -e "$modules/build/Makefile" ] && headers=yes
  version= signer=
  ko=$(find "$modules/" -name 'nvidia*.ko*' 2>/dev/null | grep -E '/nvidia(-current)?(-open)?\.ko(\.xz|\.zst|\.gz)?$' | head -n 1)
  if [ -n "$ko" ]; then
    version=$(run 10 modinfo -F version "$ko"); signer=$(run 10 modinfo -F signer "$ko")
    [ -n "$version" ] || version=unknown
  fi
  # Listing an initramfs takes seconds: only where nouveau may be in it.
  early=no initrd=$R/boot/initrd.img-$release
  if [ -n "$found" ] && [ -e "$initrd" ] && { [ -z "$black" ] || [ "$black" -nt "$initrd" ]; }; then
    run 20 lsinitramfs "$initrd" | grep -q '/nouveau\.ko' && early=yes
  fi
  is=no; [ "$release" = "$running" ] && is=yes
  printf '%s|%s|%s|%s|%s|%s\n' "$release" "$is" "$headers" "$version" "$early" "$signer"
done

S dkms
run 20 dkms status

S library
lib=$(run 10 ldconfig -p | sed -n 's/.*libnvidia-ml\.so\.1 .*=> //p' | head -n 1)
[ -z "$R" ] || lib=
for path in "$lib" "$R/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1" "$R/usr/lib/x86_64-linux-gnu/nvidia/current/libnvidia-ml.so.1" "$R/usr/lib/aarch64-linux-gnu/libnvidia-ml.so.1" "$R/usr/lib/aarch64-linux-gnu/nvidia/current/libnvidia-ml.so.1"; do
  [ -n "$path" ] && [ -e "$path" ] && { readlink -f "$path"; break; }
done

S packages
run 20 dpkg-query -W -f '${db:Status-Status}|${Package}|${Version}\n' '*nvidia*' '*cuda*'
S held
run 20 apt-mark showhold

S secureboot
if command -v mokutil >/dev/null 2>&1; then run 10 mokutil --sb-state
else
  for v in "$R"/sys/firmware/efi/efivars/SecureBoot-*; do
    [ -e "$v" ] && printf 'efi %s\n' "$(od -An -t u1 -j 4 -N 1 "$v" 2>/dev/null | tr -d ' ')"
  done
fi
S key
for key in "$R/var/lib/shim-signed/mok/MOK.der" "$R/var/lib/dkms/mok.pub"; do
  [ -e "$key" ] && { run 10 mokutil --test-key "$key"; break; }
done

S holders
if [ -n "$found" ]; then
  find "$R"/proc/[0-9]*/fd -lname '/dev/nvidia*' 2>/dev/null | sed -n 's|.*/proc/\([0-9]*\)/fd/.*|\1|p' | sort -un |
    while read -r pid; do
      container=$(sed -n 's/.*docker[-/]\([0-9a-f]\{12\}\)[0-9a-f]*.*/\1/p' "$R/proc/$pid/cgroup" 2>/dev/null | head -n 1)
      printf '%s|%s%s\n' "$pid" "$(one "$R/proc/$pid/comm")" "${container:+ in container $container}"
    done
fi

smi() { timeout -k 5 30 nvidia-smi "$@" 2>&1 </dev/null; }
S smi
if command -v nvidia-smi >/dev/null 2>&1; then
  base=uuid,pci.bus_id,name,persistence_mode,power.limit
  for fields in "$base,clocks.applications.memory,clocks.applications.graphics,ecc.mode.current,ecc.mode.pending,mig.mode.current,mig.mode.pending" "$base,ecc.mode.current,ecc.mode.pending,mig.mode.current,mig.mode.pending" "$base"; do
    answer=$(smi "--query-gpu=$fields" --format=csv,noheader,nounits); status=$?
    [ "$status" -eq 2 ] || break
  done
  # Killed after it ignored the first signal: it hung all the same.
  [ "$status" -eq 137 ] && status=124
  printf 'status %s\nfields %s\n%s\n' "$status" "$fields" "$answer"
  if [ "$status" -eq 0 ]; then
    S mig
    smi -L
    S fabric
    smi -q -x | grep -E '<gpu id=|<fabric>|</fabric>|<state>|<status>'
  fi
fi

S cdi
for f in "$R"/etc/cdi/*.yaml "$R"/etc/cdi/*.json "$R"/var/run/cdi/*.yaml "$R"/var/run/cdi/*.json "$R"/run/cdi/*.yaml "$R"/run/cdi/*.json; do
  [ -f "$f" ] && grep -q 'nvidia\.com/' "$f" || continue
  case $f in "$R"/var/run/*) [ "$(readlink -f "$R/var/run")" = "$(readlink -f "$R/run")" ] && continue;; esac
  plain=$(tr ',{}[]' '\n\n\n\n\n' <"$f" | tr -d '"' | sed 's/^[[:space:]]*//; s/[[:space:]]*$//')
  version=$(printf '%s\n' "$plain" | sed -n 's/.*libcuda\.so\.\([0-9][0-9.]*[0-9]\).*/\1/p' | grep -m 1 '\.')
  printf 'spec|%s|%s\n' "${f#"$R"}" "$version"
  kind=$(printf '%s\n' "$plain" | sed -n "s/^kind:[[:space:]]*//p" | tr -d "'" | head -n 1)
  printf '%s\n' "$plain" | sed -n "s/^\(- \)\{0,1\}name:[[:space:]]*//p" | tr -d "'" | sed "s|^|device\|$kind=|"
  printf '%s\n' "$plain" | sed -n 's/^\(- \)\{0,1\}hostPath:[[:space:]]*//p' | sort -u |
    while read -r p; do [ -e "$R$p" ] || printf 'missing|%s|%s\n' "${f#"$R"}" "$p"; done
done
S docker
if command -v docker >/dev/null 2>&1; then
  info=$(timeout -k 5 15 docker info --format '{{json .CDISpecDirs}}' 2>/dev/null </dev/null) && printf '%s\n' "$info"
fi

S switches
[ -n "$(ls "$R/proc/driver/nvidia-nvswitch/devices" 2>/dev/null)" ] && echo nvswitch
grep -lsa SW_MNG "$R"/sys/class/infiniband/*/device/vpd | head -n 1

S units
run 10 systemctl show -p Id -p LoadState -p ActiveState nvidia-persistenced.service nvidia-fabricmanager.service nvidia-cdi-refresh.service nvidia-cdi-refresh.path stackctl-gpu-tuning.service docker.service

S xids
if command -v journalctl >/dev/null 2>&1; then [ -z "$found" ] || run 15 journalctl -k -b --no-pager -q -o short-iso -g 'NVRM: Xid' | tail -n 200
elif [ -n "$found" ]; then run 10 dmesg | grep 'NVRM: Xid' | tail -n 200; fi

S traces
[ -e "$R/usr/bin/nvidia-uninstall" ] && printf 'a runfile installation of %s (/usr/bin/nvidia-uninstall)\n' "$(sed -n 's/.*NVIDIA-Linux-[^-]*-\([0-9.]*[0-9]\).*/\1/p' "$R/var/log/nvidia-installer.log" 2>/dev/null | head -n 1 | grep . || echo 'an unknown version')"
S end
exit 0
