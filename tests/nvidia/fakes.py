"""A host in a folder: trees of sysfs and procfs under a root, and programs that answer as the real ones do."""

import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stackctl.nvidia.observation import Observation
from stackctl.nvidia.observe import read, script

TOOLS = [
    "sh",
    "timeout",
    "find",
    "grep",
    "sed",
    "head",
    "tail",
    "sort",
    "tr",
    "readlink",
    "od",
    "ls",
    "cat",
    "sleep",
    "env",
]
FIELDS = [
    "uuid",
    "pci.bus_id",
    "name",
    "persistence_mode",
    "power.limit",
    "clocks.applications.memory",
    "clocks.applications.graphics",
    "ecc.mode.current",
    "ecc.mode.pending",
    "mig.mode.current",
    "mig.mode.pending",
]
OLD_BANNER = "| NVIDIA-SMI 580.95.05    Driver Version: 580.95.05    CUDA Version: 13.0 |"
NEW_BANNER = "| NVIDIA-SMI 610.57.04    KMD Version: 610.57.04    CUDA UMD Version: 13.3 |"
SAYS = {
    6: "No devices were found",
    9: "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
    12: "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.",
    15: "Unable to determine the device handle for GPU0: 0000:41:00.0: GPU is lost.",
    18: "Failed to initialize NVML: Driver/library version mismatch",
    255: "Failed to initialize NVML: Unknown Error",
}
SMI = """#!/bin/sh
state={state}
[ -e "$state/hang" ] && {{ trap '' TERM; while :; do sleep 1; done; }}
status=$(cat "$state/status")
[ "$status" = 0 ] || {{ cat "$state/says"; exit "$status"; }}
case "$*" in
  *-pl*|*-mig*|*-e\\ *|*-ac*) echo "$*" >>"$state/asked"
    echo "Setting is not supported for this GPU."; echo "Treating as warning and moving on."; exit 0;;
  *-L*) cat "$state/list";;
  *-q*-x*) cat "$state/xml";;
  *--query-gpu=*)
    wanted=; for a; do case $a in --query-gpu=*) wanted=${{a#--query-gpu=}};; esac; done
    for f in $(echo "$wanted" | tr ',' ' '); do
      grep -qxF "$f" "$state/fields" || {{ echo "Field \\"$f\\" is not a valid field to query."; exit 2; }}
    done
    for gpu in "$state"/gpu-*; do
      [ -e "$gpu" ] || continue
      line=; for f in $(echo "$wanted" | tr ',' ' '); do line="$line, $(sed -n "s/^$f=//p" "$gpu")"; done
      echo "${{line#, }}"
    done;;
  *) cat "$state/banner";;
esac
"""


@dataclass
class FakeHost:
    """Below `path`: `root`, the host's files, and `bin`, the only programs that it has."""

    path: Path
    cards: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root, self.bin, self.state = (self.path / name for name in ("root", "bin", "state"))
        for folder in (self.root, self.bin, self.state):
            folder.mkdir(parents=True, exist_ok=True)
        for tool in TOOLS:
            if (found := shutil.which(tool)) and not (self.bin / tool).exists():
                (self.bin / tool).symlink_to(found)

    def write(self, path: str, text: str = "") -> Path:
        """A file of the host."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def link(self, path: str, target: str) -> None:
        """A symbolic link of the host, whether or not its target exists."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.symlink_to(target)

    def program(self, name: str, text: str) -> None:
        """A program that is this shell script."""
        file = self.bin / name
        file.unlink(missing_ok=True)  # it may be a link to a tool of this machine
        file.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def says(self, name: str, text: str, status: int = 0) -> None:
        """A program that always says the same."""
        self.program(name, f"printf '%s\\n' {shlex.quote(text)}\nexit {status}")

    def device(
        self, address: str, device: str = "2684", kind: str = "0300", driver: str | None = "nvidia"
    ) -> None:
        """A device on the PCI bus."""
        at = f"sys/bus/pci/devices/{address}"
        for name, text in (("vendor", "0x10de"), ("device", f"0x{device}"), ("class", f"0x{kind}00")):
            self.write(f"{at}/{name}", f"{text}\n")
        if driver:
            self.link(f"{at}/driver", f"../../../../bus/pci/drivers/{driver}")

    def kernel(
        self, release: str, *, running: bool = False, headers: bool = True, nouveau: bool = False
    ) -> None:
        """A kernel that can be booted."""
        self.write(f"boot/vmlinuz-{release}")
        self.write(f"boot/initrd.img-{release}", "usr/lib/modules/x/nouveau.ko.xz\n" if nouveau else "init\n")
        self.program("lsinitramfs", 'cat "$1"')
        (self.root / "lib/modules" / release).mkdir(parents=True, exist_ok=True)
        if running:
            self.write("proc/sys/kernel/osrelease", f"{release}\n")
        if headers:
            self.write(f"lib/modules/{release}/build/Makefile")

    def module(
        self, release: str, version: str, file: str = "updates/dkms/nvidia.ko", signer: str = ""
    ) -> None:
        """A module on disk; modinfo knows it by its path only, as on Debian."""
        self.write(f"lib/modules/{release}/{file}", f"version={version}\nsigner={signer}\n")
        self.program("modinfo", '[ -f "$3" ] || exit 1\nsed -n "s/^$2=//p" "$3"')

    def loaded(self, version: str, flavour: Literal["open", "proprietary"] = "open") -> None:
        """The module is loaded."""
        self.write("sys/module/nvidia/version", f"{version}\n")
        words = "UNIX Open Kernel Module for x86_64" if flavour == "open" else "UNIX x86_64 Kernel Module"
        self.write("proc/driver/nvidia/version", f"NVRM version: NVIDIA {words}  {version}  Release Build\n")

    def library(self, version: str, folder: str = "usr/lib/x86_64-linux-gnu") -> None:
        """The user-space library."""
        self.write(f"{folder}/libnvidia-ml.so.{version}")
        self.link(f"{folder}/libnvidia-ml.so.1", f"libnvidia-ml.so.{version}")

    def packages(self, versions: dict[str, str], held: tuple[str, ...] = ()) -> None:
        """Installed packages, and those that are held."""
        observed = "\n".join(f"installed|{name}|{version}" for name, version in versions.items())
        wants = {name: "hold" if name in held else "install" for name in versions}
        asked = "\n".join(f"{name} {wants[name]} installed {version}" for name, version in versions.items())
        self.program(
            "dpkg-query",
            f"case $3 in *Want*) printf '%s\\n' {shlex.quote(asked)};; *) printf '%s\\n' {shlex.quote(observed)};; esac",
        )
        self.says("apt-mark", "\n".join(held))
        if not (self.bin / "apt-cache").exists():
            self.offers({})

    def offers(self, versions: dict[str, str]) -> None:
        """What the host's package sources have, as far as `apt-cache policy` tells."""
        blocks = (
            f"{name}:\n  Installed: (none)\n  Candidate: {version}" for name, version in versions.items()
        )
        self.says("apt-cache", "\n".join(blocks))

    def secure_boot(self, said: str = "SecureBoot enabled", *, enrolled: bool | None = None) -> None:
        """What mokutil says; `enrolled`: of DKMS's key, None: there is no key."""
        key = "is already enrolled" if enrolled else "is not enrolled"
        self.program(
            "mokutil", f'case $1 in --sb-state) echo {shlex.quote(said)};; *) echo "$2 {key}";; esac'
        )
        if enrolled is not None:
            self.write("var/lib/dkms/mok.pub")

    def holder(
        self, pid: int, command: str, device: str = "/dev/nvidia0", container: str | None = None
    ) -> None:
        """A process that has a GPU open."""
        self.write(f"proc/{pid}/comm", f"{command}\n")
        if container is not None:
            self.write(f"proc/{pid}/cgroup", f"0::/system.slice/docker-{container}.scope\n")
        self.link(f"proc/{pid}/fd/7", device)

    def cdi(self, path: str, text: str) -> None:
        """A container device specification."""
        self.write(path, text)

    def units(self, states: dict[str, str]) -> None:
        """systemd's units."""
        blocks = (f"Id={name}\nLoadState=loaded\nActiveState={state}\n" for name, state in states.items())
        self.says("systemctl", "\n".join(blocks))

    def smi(self, status: int = 0, *, banner: str = OLD_BANNER, fields: list[str] = FIELDS) -> None:
        """nvidia-smi, with `status` for whatever it is asked; it knows `fields` only."""
        for name, text in (
            ("status", str(status)),
            ("says", SAYS.get(status, "failed") + "\n"),
            ("banner", banner + "\n"),
            ("fields", "\n".join(fields) + "\n"),
        ):
            (self.state / name).write_text(text)
        for name in ("list", "xml"):
            (self.state / name).touch()
        self.program("nvidia-smi", SMI.format(state=shlex.quote(str(self.state))))

    def smi_gpu(
        self, uuid: str, pci: str, *, mig: tuple[tuple[str, str], ...] = (), fabric: str = "", **values: str
    ) -> None:
        """A GPU of nvidia-smi's; `values` are its fields with `_` for `.`, the rest is `[N/A]`; `mig`: profile, UUID."""
        known = dict.fromkeys(FIELDS, "[N/A]") | {
            "uuid": uuid,
            "pci.bus_id": f"0000{pci}",
            "name": "NVIDIA Test 1",
        }
        known |= {name: values[key] for name in FIELDS if (key := name.replace(".", "_")) in values}
        number = len(self.cards)
        self.cards.append(uuid)
        (self.state / f"gpu-{number}").write_text(
            "".join(f"{name}={value}\n" for name, value in known.items())
        )
        with (self.state / "list").open("a") as listed:
            listed.write(f"GPU {number}: NVIDIA Test 1 (UUID: {uuid})\n")
            for index, (profile, instance) in enumerate(mig):
                listed.write(f"  MIG {profile}     Device  {index}: (UUID: {instance})\n")
        with (self.state / "xml").open("a") as xml:
            state, status = (fabric, "Success") if fabric else ("N/A", "N/A")
            xml.write(
                f'<gpu id="0000{pci}">\n<fabric>\n<state>{state}</state>\n<status>{status}</status>\n</fabric>\n</gpu>\n'
            )

    def hang(self) -> None:
        """From now on nvidia-smi never answers, and ignores being asked to end; `timeout` waits no longer than 1 s."""
        (self.state / "hang").touch()
        real = shutil.which("timeout")
        self.program("timeout", f'shift 3\nexec {real} -k 0.2 0.3 "$@"')

    @property
    def environment(self) -> dict[str, str]:
        """For processes on this host."""
        return {"PATH": str(self.bin), "LC_ALL": "C"}


def observe(host: FakeHost) -> Observation:
    """What the real script sees there."""
    done = subprocess.run(
        ["/bin/sh"],
        input=script(str(host.root)),
        env=host.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return read(done.stdout)
