"""The machine itself: packages, names, clock, kernel settings."""

from collections.abc import Sequence

from pyinfra.api.deploy import deploy

from stackctl.capabilities.system import TIME_FILE, SystemSpec
from stackctl.core.artifact import Artifact
from stackctl.ops import apt, files, machine, systemd


@deploy("system")
def system(spec: SystemSpec, artifacts: Sequence[Artifact]) -> None:
    """Everything else stands on this."""
    machine.system_is(name=f"check that it runs {spec.os}", expected=spec.os)
    apt.packages(name="install the base packages", names=spec.packages)
    machine.named(name="set the host name", hostname=spec.hostname)
    files.block(name="list the fleet in /etc/hosts", path="/etc/hosts", marker="fleet", lines=spec.names)
    written = files.write(name="write the system's settings", artifacts=artifacts)
    machine.sysctl(name="set the kernel's values", values=spec.sysctl)
    if spec.timesyncd:
        systemd.service(
            name="keep the clock right", unit="systemd-timesyncd.service", reads=[TIME_FILE], after=[written]
        )
