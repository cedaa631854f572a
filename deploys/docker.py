"""The container engine and Compose, from the distribution; GPUs by NVIDIA's Container Toolkit."""

from collections.abc import Sequence

from pyinfra.api.deploy import deploy

from stackctl.capabilities.docker import (
    CDI_UNIT_FILE,
    DAEMON_FILE,
    ENVIRONMENT_KEY,
    TOOLKIT_FILE,
    DockerSpec,
    ToolkitSpec,
)
from stackctl.core.artifact import Artifact
from stackctl.ops import apt, cdi, files, hold, repository, systemd


@deploy("docker")
def docker(spec: DockerSpec, artifacts: Sequence[Artifact]) -> None:
    """Settings come before the package, so that the engine starts with them."""
    logins = [item for item in artifacts if item.path != CDI_UNIT_FILE]
    files.write(name="write the registries' logins", artifacts=logins)
    daemon = files.merge_json(name="configure the engine", path=DAEMON_FILE, values=spec.daemon)
    apt.packages(name="install the engine and Compose", names=spec.packages)
    if spec.toolkit is not None:
        _toolkit(spec.toolkit, [item for item in artifacts if item.path == CDI_UNIT_FILE])
    systemd.service(name="run the engine", unit="docker.service", reads=[DAEMON_FILE], after=[daemon])
    if spec.toolkit is not None:
        cdi.engine_knows(name="check that the engine knows how GPUs are handed out")


def _toolkit(spec: ToolkitSpec, unit: Sequence[Artifact]) -> None:
    apt.packages(name="install what judges keys", names=["gpg"])
    repository.repository(
        name="trust the toolkit's repository",
        stem=spec.source.name,
        url=spec.source.url,
        key_url=spec.source.key,
        fingerprint=spec.source.fingerprint,
    )
    apt.packages(name="install the container toolkit", names=spec.packages)
    hold.held(name="hold the container toolkit at its version", names=spec.names)
    files.toml_key(
        name="keep images from taking GPUs by a variable",
        path=TOOLKIT_FILE,
        key=ENVIRONMENT_KEY,
        value=False,
    )
    written = files.write(name="describe the GPUs at boot", artifacts=unit)
    cdi.specified(name="describe the GPUs", uuids=spec.uuids, after=[written])
