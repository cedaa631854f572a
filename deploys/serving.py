"""Model servers: one Compose project on every host that carries models."""

from collections.abc import Sequence

from pyinfra.api.deploy import deploy

from stackctl.capabilities.serving import COMPOSE_FILE, PROJECT, ServingSpec
from stackctl.core.artifact import Artifact
from stackctl.core.drain import PROGRAM, UNIT, UNIT_FILE
from stackctl.ops import answering, compose, files, systemd

_OTHERS = (PROGRAM, UNIT_FILE, COMPOSE_FILE)


@deploy("serving")
def serving(spec: ServingSpec, artifacts: Sequence[Artifact]) -> None:
    """Containers as the project says, each answering before the next step."""
    named = {item.path: item for item in artifacts}
    teller = files.write(
        name="write what tells of drained replicas", artifacts=[named[PROGRAM], named[UNIT_FILE]]
    )
    systemd.service(
        name="tell gateways of drained replicas",
        unit=UNIT,
        defined_by=[UNIT_FILE, PROGRAM],
        redefined=[teller],
    )
    secrets = files.write(
        name="write the models' secrets", artifacts=[item for item in artifacts if item.path not in _OTHERS]
    )
    project = named[COMPOSE_FILE]
    files.write(name="write the compose project", artifacts=[project])
    running = compose.project(
        name="run the models",
        project=PROJECT,
        file=project,
        images=spec.images,
        running=spec.running,
        after=[secrets],
    )
    for item in spec.running:
        answering.answering(
            name=f"wait for {item.service}",
            project=PROJECT,
            service=item.service,
            url=item.health_url,
            seconds=item.start_seconds,
            arithmetic=item.arithmetic,
            after=[running],
        )
