"""The stable URLs in front of all models: HAProxy on every host with the role `gateway`."""

from collections.abc import Sequence

from pyinfra.api.deploy import deploy

from stackctl.capabilities.gateway import (
    CERTIFICATE_CHECK,
    CERTIFICATE_FILE,
    CHECK,
    CONFIG_FILE,
    PACKAGES,
    PARTS,
    UNIT,
    UNIT_FILE,
    GatewaySpec,
)
from stackctl.core import exporter
from stackctl.core.artifact import Artifact
from stackctl.ops import apt, files, systemd


@deploy("gateway")
def gateway(_spec: GatewaySpec, artifacts: Sequence[Artifact]) -> None:
    """The configuration is judged with what it names in place, and only then replaces the old one."""
    named = {artifact.path: artifact for artifact in artifacts}
    program, settings, exporting = (named.pop(path) for path in exporter.FILES)
    unit = files.write(name="write the unit's environment", artifacts=[named[UNIT_FILE]])
    apt.packages(name="install HAProxy", names=PACKAGES)
    program_files = files.write(name="write the exporter", artifacts=[program, settings])
    exporting_unit = files.write(name="write the exporter's unit", artifacts=[exporting])
    systemd.service(
        name="run the exporter",
        unit=exporter.UNIT,
        reads=[exporter.PROGRAM_FILE, exporter.CONFIG_FILE],
        after=[program_files],
        defined_by=[exporter.UNIT_FILE],
        redefined=[exporting_unit],
    )
    parts = files.write(name="write what the configuration names", artifacts=[named[path] for path in PARTS])
    certificate = files.write(
        name="write the certificate",
        artifacts=[named[path] for path in (CERTIFICATE_FILE,) if path in named],
        check=CERTIFICATE_CHECK,
    )
    config = files.write(name="write the configuration", artifacts=[named[CONFIG_FILE]], check=CHECK)
    systemd.service(
        name="run the gateway",
        unit=UNIT,
        reads=[path for path in named if path != UNIT_FILE],
        on_change="reload",
        after=[parts, certificate, config],
        defined_by=[UNIT_FILE],
        redefined=[unit],
    )
