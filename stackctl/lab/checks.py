"""What must be true of this machine before a lab comes up; looked at before anything is touched."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from stackctl.core.finding import FailureError, Finding
from stackctl.lab import accelerator, kernel, vm
from stackctl.lab.cgroup import has_systemd
from stackctl.lab.images.recipe import recipes
from stackctl.lab.mirror import KEYRING
from stackctl.lab.spec import CACHE, STATE, LabSpec
from stackctl.lab.wheels import uv

_GB = 10**9
_BUS = Path("/run/dbus/system_bus_socket")

TOOLS = {
    "apt-get": "apt",
    "docker-registry": "docker-registry",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nft": "nftables",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sysctl": "procps",
    "systemd-nspawn": "systemd-container",
    "tar": "tar",
    "unshare": "util-linux",
    "zstd": "zstd",
}
"""Every tool the lab runs and the Debian package that has it."""

VM_TOOLS = {
    "mkfs.ext4": "e2fsprogs",
    accelerator.PROGRAM: "qemu-system-x86",
}
"""What virtual machines need beside."""

_VM_PROBES = {"a tap device in a network namespace": "ip tuntap add dev probe mode tap"}
_PROBES = {
    "a bridge in a network namespace": "ip link add name probe type bridge",
    "a virtual cable in a network namespace": "ip link add probe type veth peer name far",
    "network address translation": (
        "nft add table ip probe && "
        "nft 'add chain ip probe out { type nat hook postrouting priority 100; }' && "
        "nft add rule ip probe out masquerade"
    ),
    "an overlay file system": (
        "mount -t tmpfs probe /mnt && mkdir /mnt/low /mnt/up /mnt/work /mnt/all && "
        "mount -t overlay -o lowerdir=/mnt/low,upperdir=/mnt/up,workdir=/mnt/work probe /mnt/all"
    ),
}
"""What the kernel must offer, and commands that show it inside namespaces that end with them."""


def check(spec: LabSpec) -> None:
    """Return if the lab can come up here; a FindingsError tells everything that stands in the way."""
    recipes(spec.images)
    if os.geteuid():  # who may not look at the labs cannot say what they still need
        raise FailureError(*_root(), *missing_tools(tools_of(spec)), *_keyring())
    findings = [
        *missing_tools(tools_of(spec)), *_keyring(), *_bus(), *_uv(spec), *space(spec), *memory(spec),
    ]  # fmt: skip
    if not findings:
        findings = list(_kernel({**_PROBES, **(_VM_PROBES if spec.kind == "vm" else {})}))
    if findings:
        raise FailureError(*findings)


def require_root() -> None:
    """Return if we are root; what others see of a lab would mislead them."""
    if findings := list(_root()):
        raise FailureError(*findings)


def tools_of(spec: LabSpec) -> dict[str, str]:
    """The tools that a lab of this kind runs and the Debian packages that have them."""
    return TOOLS | VM_TOOLS if spec.kind == "vm" else TOOLS


def missing_tools(tools: dict[str, str]) -> list[Finding]:
    """A finding for each Debian package that has to be installed."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    missing: dict[str, list[str]] = {}
    for tool, package in tools.items():
        if shutil.which(tool, path=path) is None:
            missing.setdefault(package, []).append(f"`{tool}`")
    return [
        Finding("lab", f"{' and '.join(names)} not found on this machine", f"run `apt-get install {package}`")
        for package, names in missing.items()
    ]


def space(spec: LabSpec) -> list[Finding]:
    """A finding for each file system with too little room for what is still to be made."""
    wanted = [(CACHE, _cache_needs(spec)), (STATE, _state_needs(spec))]
    needs: dict[int, tuple[list[Path], int]] = {}
    for directory, size in wanted:
        device = _existing(directory).stat().st_dev
        places, total = needs.get(device, ([], 0))
        needs[device] = ([*places, directory], total + size)
    findings = []
    for places, total in needs.values():
        free = shutil.disk_usage(_existing(places[0])).free
        if free < total:
            names = " and ".join(str(place) for place in places)
            what = f"{total / _GB:.1f} GB are needed for {names}, {free / _GB:.1f} GB are free"
            findings.append(Finding("lab", what, "make room, or run `stackctl lab prune`"))
    return findings


def memory(spec: LabSpec) -> list[Finding]:
    """A finding where virtual machines that are yet to be started would not fit into what is free."""
    starting = sum(kernel.watcher(spec.host_namespace(host.name)) is None for host in spec.hosts)
    needed = starting * vm.MEMORY_MB if spec.kind == "vm" else 0
    free = _available_mb()
    if needed <= free:
        return []
    what = f"{starting} virtual machines need {needed} MB of memory, {free} MB are free"
    return [Finding("lab", what, "end what else runs, or use an inventory with fewer hosts")]


def _available_mb() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) // 1024


def _cache_needs(spec: LabSpec) -> int:
    suites = {host.suite for host in spec.hosts}
    bases = sum(not _made("vm-base" if spec.kind == "vm" else "base", suite) for suite in suites)
    roots = {recipe.root.name: 8 if recipe.root.wheels else 1 for recipe in recipes(spec.images)}
    return (bases + sum(size for name, size in roots.items() if not _made("layers", name))) * _GB


def _made(kind: str, name: str) -> bool:
    return any((CACHE / kind).glob(f"{name}-*"))


def _state_needs(spec: LabSpec) -> int:
    """Docker, its images and the packages of each host that is yet to be made; a machine's own system too."""
    each = 5 if any(recipe.root.wheels for recipe in recipes(spec.images)) else 2
    each += 3 if spec.kind == "vm" else 0
    return sum(each for host in spec.hosts if not spec.home(host.name).exists()) * _GB


def _existing(directory: Path) -> Path:
    return next(place for place in (directory, *directory.parents) if place.exists())


def _root() -> Iterable[Finding]:
    if os.geteuid():
        yield Finding("lab", "virtual hosts need root", "run it again with `sudo`")


def _keyring() -> Iterable[Finding]:
    if not Path(KEYRING).exists():
        yield Finding("lab", f"{KEYRING} is missing", "run `apt-get install debian-archive-keyring`")


def _bus() -> Iterable[Finding]:
    if has_systemd() and not _BUS.exists():
        what = (
            f"{_BUS} is missing, through which systemd-nspawn asks this machine's systemd for a control group"
        )
        yield Finding("lab", what, "run `apt-get install dbus`")


def _uv(spec: LabSpec) -> Iterable[Finding]:
    if any(recipe.root.wheels for recipe in recipes(spec.images)) and uv() is None:
        yield Finding(
            "lab", "`uv` not found on this machine, which installs PyPI packages", "run `pip install uv`"
        )


def _kernel(probes: dict[str, str]) -> Iterable[Finding]:
    for feature, script in probes.items():
        probe = subprocess.run(
            ["unshare", "--net", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
        )
        if probe.returncode:
            said = probe.stderr.strip().splitlines()
            hint = f"load the module or use another kernel ({said[-1]})" if said else "use another kernel"
            yield Finding("lab", f"this machine's kernel does not offer {feature}", hint)
