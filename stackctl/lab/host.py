"""One virtual host: a layer of its own over the base, booted as a systemd container."""

import os
import shutil
import time
import uuid
from pathlib import Path

from stackctl import namespace
from stackctl.core.finding import FailureError, Finding
from stackctl.lab import cache, cgroup, kernel, keys
from stackctl.lab.mirror import Mirror
from stackctl.lab.shell import run, spawn
from stackctl.lab.spec import NAMES_ADDRESS, PACKAGES_ADDRESS, PACKAGES_PORT, LabHost, LabSpec

_BOOT_PATIENCE = 120.0
_NSPAWN = {
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    # a host sets its own network's sysctls, and none that are this machine's
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
}
_USERS = {"root": "root", "ops": "home/ops", "opspw": "home/opspw"}


def prepare(spec: LabSpec, host: LabHost, base: Path, mirror: Mirror) -> None:
    """Give the host a fresh file system, where it has none on this base yet, and mount it."""
    if kernel.watcher(spec.host_namespace(host.name)) is not None:
        return  # it runs, perhaps on an older base, and stays as it is
    home = spec.home(host.name)
    seeded = home / "seeded"
    if not (seeded.exists() and seeded.read_text() == f"{base}\n"):
        _discard(home)
        _seed(spec, host, base, mirror)
        keys.write(seeded, f"{base}\n")
    root = home / "root"
    if str(root) not in kernel.mounts_below(home):
        root.mkdir(exist_ok=True)
        options = f"lowerdir={base},upperdir={home / 'upper'},workdir={home / 'work'}"
        run(["mount", "-t", "overlay", "-o", options, "stackctl-lab", root], where=f"host {host.name}")


def boot(spec: LabSpec, host: LabHost) -> None:
    """Start the host, where it does not run yet."""
    if kernel.watcher(spec.host_namespace(host.name)) is None:
        log = spec.home(host.name) / "console.log"
        spawn(_boot_command(spec, host), log=log, env=_NSPAWN)


def wait_until_up(spec: LabSpec, host: LabHost) -> None:
    """Return once the host answers on its SSH port and has booted; a FindingsError shows its console if not."""
    deadline = time.monotonic() + _BOOT_PATIENCE
    while not answers(spec, host):
        if time.monotonic() > deadline:
            console = spec.home(host.name) / "console.log"
            lines = console.read_text(errors="replace").splitlines() if console.exists() else []
            raise FailureError(
                Finding(
                    f"host {host.name}",
                    f"does not answer on its SSH port after {_BOOT_PATIENCE:.0f} s",
                    f"read {console}, or start afresh with `stackctl lab down` and `up`",
                    tuple(lines[-20:]),
                )
            )
        time.sleep(0.2)
    # until systemd has come through, pam_nologin refuses everyone but root
    settled = f"timeout {_BOOT_PATIENCE:.0f} systemctl is-system-running --quiet --wait || true"
    run([*entering(spec, host), "sh", "-c", settled], where=f"host {host.name}")


def answers(spec: LabSpec, host: LabHost) -> bool:
    """Whether an SSH server greets the operator at the host's address."""
    try:
        with namespace.connect(spec.namespace("operator"), str(host.address), 22, timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def place_weights(spec: LabSpec, host: LabHost, weights: Path, name: str) -> None:
    """Copy a model's files to where the host looks for its weights."""
    place = spec.home(host.name) / "root" / host.weights.lstrip("/") / name
    if not place.exists():
        fresh = place.with_name(f".{name}.new")
        cache.remove_tree(fresh)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(weights, fresh)
        fresh.rename(place)


def entering(spec: LabSpec, host: LabHost) -> list[str]:
    """Words before a command that run it inside the host, as root; FindingsError where the host is down."""
    watcher = kernel.watcher(spec.host_namespace(host.name))
    init = kernel.init_of(watcher) if watcher else None
    if init is None:
        raise FailureError(
            Finding(f"host {host.name}", "is not running", f"run `stackctl lab up {spec.name}`")
        )
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


def _discard(home: Path) -> None:
    kernel.unmount_below(home)
    for part in ("upper", "work", "docker"):
        cache.remove_tree(home / part)


def _seed(spec: LabSpec, host: LabHost, base: Path, mirror: Mirror) -> None:
    home = spec.home(host.name)
    upper = home / "upper"
    for part in (upper, home / "work", home / "docker"):
        part.mkdir(parents=True)
    proxy = f"http://{PACKAGES_ADDRESS}:{PACKAGES_PORT}"
    etc = {
        "hostname": f"{host.name}\n",
        "hosts": f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n::1 localhost ip6-localhost ip6-loopback\n",
        "resolv.conf": f"nameserver {NAMES_ADDRESS}\n",
        "machine-id": f"{uuid.uuid4().hex}\n",
        "apt/sources.list": "\n".join(mirror.plain_sources(host.suite)) + "\n",
        "apt/apt.conf.d/90lab-proxy": f'Acquire::http::Proxy "{proxy}";\n',
        "ssh/ssh_host_ed25519_key.pub": f"{keys.public(keys.host_key(spec, host))}\n",
    }
    for name, text in etc.items():
        keys.write(upper / "etc" / name, text)
    keys.write(upper / "etc/ssh/ssh_host_ed25519_key", keys.host_key(spec, host).read_text(), mode=0o600)
    _seed_users(spec, base, upper)
    _seed_trust(spec, base, upper)


def _seed_users(spec: LabSpec, base: Path, upper: Path) -> None:
    hashed = run(["openssl", "passwd", "-6", "-stdin"], stdin=spec.sudo_password.read_text()).strip()
    shadow = (base / "etc/shadow").read_text().splitlines()
    lines = [
        f"opspw:{hashed}:{line.split(':', 2)[2]}" if line.startswith("opspw:") else line for line in shadow
    ]
    keys.write(upper / "etc/shadow", "\n".join(lines) + "\n", mode=0o640)
    shutil.chown(upper / "etc/shadow", 0, (base / "etc/shadow").stat().st_gid)
    for directory in _USERS.values():
        _copy_directories(base, upper, f"{directory}/.ssh")
        owner = (base / directory).stat()
        keys.write(upper / directory / ".ssh/authorized_keys", f"{keys.public(spec.key)}\n", mode=0o600)
        for path in (upper / directory / ".ssh", upper / directory / ".ssh/authorized_keys"):
            os.chown(path, owner.st_uid, owner.st_gid)


def _seed_trust(spec: LabSpec, base: Path, upper: Path) -> None:
    certificate = keys.authority(spec).read_text()
    keys.write(upper / "usr/local/share/ca-certificates/stackctl-lab.crt", certificate)
    bundle = "etc/ssl/certs/ca-certificates.crt"
    keys.write(upper / bundle, (base / bundle).read_text() + certificate)


def _copy_directories(base: Path, upper: Path, below: str) -> None:
    place = Path()
    for part in Path(below).parts:
        place /= part
        (upper / place).mkdir(exist_ok=True)
        if (base / place).exists():
            stat = (base / place).stat()
            (upper / place).chmod(stat.st_mode)
            os.chown(upper / place, stat.st_uid, stat.st_gid)
        else:
            (upper / place).chmod(0o700)
