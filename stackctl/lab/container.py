"""A virtual host as a container: a layer of its own over the base, booted by systemd-nspawn."""

import os
import shutil
from pathlib import Path

from stackctl.lab import base as bases
from stackctl.lab import cache, cgroup, kernel, keys, overlay
from stackctl.lab.mirror import Mirror
from stackctl.lab.seed import seed
from stackctl.lab.shell import spawn
from stackctl.lab.spec import LabHost, LabSpec

BOOT_SECONDS = 120
"""How long a host may take to answer."""
GREETING_SECONDS = 2
"""How long the SSH server of a host that is up may take to greet."""
_NSPAWN = {
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    # a host sets its own network's sysctls, and none that are this machine's
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
}


def base_of(suite: str, mirror: Mirror) -> Path:
    """What hosts of this suite stand on, from the cache or made now."""
    return bases.base_of(suite, mirror)


def prepare(spec: LabSpec, host: LabHost, base: Path, mirror: Mirror) -> None:
    """Give the host a fresh file system, where it has none on this base yet, and mount it."""
    home = spec.home(host.name)
    seeded = home / "seeded"
    if not (seeded.exists() and seeded.read_text() == f"{base}\n"):
        overlay.discard(home)
        cache.remove_tree(home / "docker")
        (home / "docker").mkdir(parents=True)
        seed(spec, host, base, overlay.make(home), mirror)
        keys.write(seeded, f"{base}\n")
    overlay.mounted(base, home, where=f"host {host.name}")


def boot(spec: LabSpec, host: LabHost) -> None:
    """Start the host."""
    spawn(_boot_command(spec, host), log=spec.home(host.name) / "console.log", env=_NSPAWN)


def place_weights(spec: LabSpec, host: LabHost, weights: Path, name: str) -> None:
    """Copy a model's files to where the host looks for its weights."""
    place = spec.home(host.name) / "root" / host.weights.lstrip("/") / name
    if not place.exists():
        fresh = place.with_name(f".{name}.new")
        cache.remove_tree(fresh)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(weights, fresh)
        fresh.rename(place)


def entering(spec: LabSpec, host: LabHost) -> list[str] | None:
    """Words before a command that run it inside the host, as root; None where it is down."""
    watcher = kernel.watcher(spec.host_namespace(host.name))
    init = kernel.init_of(watcher) if watcher else None
    if init is None:
        return None
    spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wdns=/root"]
    clean = [
        "env",
        "--ignore-environment",
        "HOME=/root",
        "USER=root",
        f"TERM={os.environ.get('TERM', 'dumb')}",
    ]
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return ["nsenter", f"--target={init}", *spaces, "--", *clean, path]


def _boot_command(spec: LabSpec, host: LabHost) -> list[str | Path]:
    home = spec.home(host.name)
    return [
        *cgroup.entering(spec.host_namespace(host.name)),
        "systemd-nspawn", "--boot", "--quiet", f"--directory={home / 'root'}",
        f"--machine={spec.machine(host.name)}", f"--hostname={host.name}",
        f"--network-namespace-path=/run/netns/{spec.host_namespace(host.name)}",
        "--register=no", *cgroup.nspawn_flags(), "--capability=all",
        "--system-call-filter=add_key keyctl bpf",
        "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe",
        f"--bind={home / 'docker'}:/var/lib/docker",
    ]  # fmt: skip
