"""What makes a fresh file system a certain host's: its name, keys, users' logins, package sources and trust."""

import os
import shutil
import uuid
from pathlib import Path

from stackctl.lab import keys
from stackctl.lab.mirror import Mirror
from stackctl.lab.shell import run
from stackctl.lab.spec import NAMES_ADDRESS, PACKAGES_ADDRESS, PACKAGES_PORT, LabHost, LabSpec

_USERS = {"root": "root", "ops": "home/ops", "opspw": "home/opspw"}


def seed(
    spec: LabSpec, host: LabHost, base: Path, upper: Path, mirror: Mirror, components: str = "main"
) -> None:
    """Write the host's own files to `upper`, which lies over its base; `components` are its archive's."""
    proxy = f"http://{PACKAGES_ADDRESS}:{PACKAGES_PORT}"
    etc = {
        "hostname": f"{host.name}\n",
        "hosts": f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n::1 localhost ip6-localhost ip6-loopback\n",
        "resolv.conf": f"nameserver {NAMES_ADDRESS}\n",
        "machine-id": f"{uuid.uuid4().hex}\n",
        "apt/sources.list": "\n".join(mirror.plain_sources(host.suite, components)) + "\n",
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
