"""One virtual host of either kind: made, booted, waited for and entered."""

import time
from pathlib import Path
from typing import Protocol

from stackctl import namespace
from stackctl.core.finding import FailureError, Finding
from stackctl.lab import container, kernel, vm
from stackctl.lab.mirror import Mirror
from stackctl.lab.shell import run
from stackctl.lab.spec import LabHost, LabSpec

_GONE_SECONDS = 5
"""How long a host that restarts may be gone."""


class Kind(Protocol):
    """What a module that makes hosts of one kind has."""

    BOOT_SECONDS: int
    """How long a host may take to answer."""
    GREETING_SECONDS: int
    """How long the SSH server of a host that is up may take to greet."""

    def base_of(self, suite: str, mirror: Mirror) -> Path:
        """What hosts of this suite stand on, from the cache or made now."""

    def prepare(self, spec: LabSpec, host: LabHost, base: Path, mirror: Mirror) -> None:
        """Give a host that does not run a fresh file system, where it has none on this base yet."""

    def boot(self, spec: LabSpec, host: LabHost) -> None:
        """Start a host that does not run."""

    def place_weights(self, spec: LabSpec, host: LabHost, weights: Path, name: str) -> None:
        """Copy a model's files to where a host that is up looks for its weights."""

    def entering(self, spec: LabSpec, host: LabHost) -> list[str] | None:
        """Words before a command that run it inside the host, as root; None where it is down."""


def kind_of(spec: LabSpec) -> Kind:
    """What makes the hosts of this lab."""
    return vm if spec.kind == "vm" else container


def base_of(spec: LabSpec, suite: str, mirror: Mirror) -> Path:
    """What the lab's hosts of this suite stand on, from the cache or made now."""
    return kind_of(spec).base_of(suite, mirror)


def prepare(spec: LabSpec, host: LabHost, base: Path, mirror: Mirror) -> None:
    """Give the host a fresh file system, where it has none on this base yet.

    A host that runs, perhaps on an older base, stays as it is.
    """
    if not runs(spec, host):
        kind_of(spec).prepare(spec, host, base, mirror)


def boot(spec: LabSpec, host: LabHost) -> None:
    """Start the host, where it does not run yet."""
    if not runs(spec, host):
        kind_of(spec).boot(spec, host)


def runs(spec: LabSpec, host: LabHost) -> bool:
    """Whether the host runs, which it does before it answers."""
    return kernel.watcher(spec.host_namespace(host.name)) is not None


def wait_until_up(spec: LabSpec, host: LabHost) -> None:
    """Return once the host answers on its SSH port and has booted; a FailureError shows its console if not."""
    patience = kind_of(spec).BOOT_SECONDS
    begun = seen = time.monotonic()
    while not answers(spec, host):
        now = time.monotonic()
        seen = now if runs(spec, host) else seen
        if now - seen > _GONE_SECONDS:
            raise FailureError(_unanswered(spec, host, "has stopped before it answered on its SSH port"))
        if now - begun > patience:
            what = f"does not answer on its SSH port after {patience} s"
            raise FailureError(_unanswered(spec, host, what))
        time.sleep(0.2)
    # until systemd has come through, pam_nologin refuses everyone but root
    settled = f"timeout {patience} systemctl is-system-running --quiet --wait || true"
    run([*entering(spec, host), "sh", "-c", settled], where=f"host {host.name}")


def _unanswered(spec: LabSpec, host: LabHost, what: str) -> Finding:
    console = spec.home(host.name) / "console.log"
    lines = console.read_text(errors="replace").splitlines() if console.exists() else []
    hint = f"read {console}, or start afresh with `stackctl lab down` and `up`"
    return Finding(f"host {host.name}", what, hint, tuple(lines[-20:]))


def answers(spec: LabSpec, host: LabHost) -> bool:
    """Whether an SSH server greets the operator at the host's address."""
    patience = kind_of(spec).GREETING_SECONDS
    try:
        with namespace.connect(
            spec.namespace("operator"), str(host.address), 22, timeout=patience
        ) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def place_weights(spec: LabSpec, host: LabHost, weights: Path, name: str) -> None:
    """Copy a model's files to where the host looks for its weights."""
    kind_of(spec).place_weights(spec, host, weights, name)


def entering(spec: LabSpec, host: LabHost) -> list[str]:
    """Words before a command that run it inside the host, as root; FailureError where the host is down."""
    words = kind_of(spec).entering(spec, host)
    if words is None:
        raise FailureError(
            Finding(f"host {host.name}", "is not running", f"run `stackctl lab up {spec.name}`")
        )
    return words
