"""Model servers: one Compose project on every host that carries models."""

from collections.abc import Sequence

from pyinfra.api.deploy import deploy

from stackctl.capabilities.serving import COMPOSE_FILE, PROJECT, ServingSpec
from stackctl.core.artifact import Artifact
from stackctl.ops import compose, files


@deploy("serving")
def serving(spec: ServingSpec, artifacts: Sequence[Artifact]) -> None:
    """Containers as the project says, each answering before the next step."""
    secrets = files.write(
        name="write the models' secrets", artifacts=[item for item in artifacts if item.path != COMPOSE_FILE]
    )
    project = [item for item in artifacts if item.path == COMPOSE_FILE]
    files.write(name="write the compose project", artifacts=project)
    running = compose.project(
        name="run the models", project=PROJECT, file=project[0], images=spec.images, after=[secrets]
    )
    for item in spec.running:
        compose.answering(
            name=f"wait for {item.service}",
            project=PROJECT,
            service=item.service,
            url=item.health_url,
            seconds=item.start_seconds,
            after=[running],
        )
