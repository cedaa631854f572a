"""Keys, certificates and passwords of a lab, made once and kept in its state directory."""

import secrets
from pathlib import Path

from stackctl.lab.shell import run
from stackctl.lab.spec import REGISTRY_ADDRESS, REGISTRY_NAME, LabHost, LabSpec


def make_keys(spec: LabSpec) -> None:
    """Make whatever is missing of the lab's keys, and write all host keys to known_hosts."""
    spec.state.mkdir(parents=True, exist_ok=True)
    spec.state.chmod(0o700)
    _make_key(spec.key, f"lab {spec.name}")
    for host in spec.hosts:
        spec.home(host.name).mkdir(parents=True, exist_ok=True)
        _make_key(host_key(spec, host), host.name)
    if not spec.sudo_password.exists():
        write(spec.sudo_password, secrets.token_urlsafe(12) + "\n", mode=0o600)
    write(spec.known_hosts, "".join(_known(spec, host) for host in spec.hosts))
    _make_certificates(spec)


def host_key(spec: LabSpec, host: LabHost) -> Path:
    """Private half of a host's key."""
    return spec.home(host.name) / "ssh_host_ed25519_key"


def public(key: Path) -> str:
    """Public half of a key, as one line without its comment."""
    return " ".join(key.with_name(f"{key.name}.pub").read_text().split()[:2])


def authority(spec: LabSpec) -> Path:
    """Certificate that signs the registry's; every host trusts it."""
    return spec.state / "ca.crt"


def write(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=mode)
    fresh.write_text(text)
    fresh.chmod(mode)
    fresh.rename(path)


def _known(spec: LabSpec, host: LabHost) -> str:
    return f"{host.address},{host.name} {public(host_key(spec, host))}\n"


def _make_key(path: Path, comment: str) -> None:
    half = path.with_name(f"{path.name}.pub")
    if path.exists() and half.exists():
        return
    fresh = path.with_name(f".{path.name}.new")
    for leftover in (fresh, fresh.with_name(f"{fresh.name}.pub")):
        leftover.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", fresh])
    fresh.with_name(f"{fresh.name}.pub").rename(half)
    fresh.rename(path)


def _make_certificates(spec: LabSpec) -> None:
    certificate = spec.state / "registry.crt"
    if certificate.exists():
        return
    authority_key, key = spec.state / "ca.key", spec.state / "registry.key"
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    run([
        "openssl", "req", "-x509", *new_key, "-keyout", authority_key, "-out", authority(spec),
        "-days", "3650", "-subj", f"/CN=stackctl lab {spec.name}",
    ])  # fmt: skip
    fresh = spec.state / ".registry.crt.new"
    run([
        "openssl", "req", "-x509", *new_key, "-keyout", key, "-out", fresh, "-days", "3650",
        "-CA", authority(spec), "-CAkey", authority_key, "-subj", f"/CN={REGISTRY_NAME}",
        "-addext", f"subjectAltName=DNS:{REGISTRY_NAME},IP:{REGISTRY_ADDRESS}",
        "-addext", "basicConstraints=critical,CA:FALSE",
    ])  # fmt: skip
    fresh.rename(certificate)
