"""The container engine and Compose, from the distribution."""

from collections.abc import Sequence

from pyinfra.api.deploy import deploy

from stackctl.capabilities.docker import DAEMON_FILE, DockerSpec
from stackctl.core.artifact import Artifact
from stackctl.ops import apt, files, systemd


@deploy("docker")
def docker(spec: DockerSpec, artifacts: Sequence[Artifact]) -> None:
    """Settings come before the package, so that the engine starts with them."""
    files.write(name="write the registries' logins", artifacts=artifacts)
    daemon = files.merge_json(name="configure the engine", path=DAEMON_FILE, values=spec.daemon)
    apt.packages(name="install the engine and Compose", names=spec.packages)
    systemd.service(name="run the engine", unit="docker.service", reads=[DAEMON_FILE], after=[daemon])
