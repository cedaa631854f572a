"""Two or more uplinks: routing that follows the one that works, and the agent that tells which does."""

from collections.abc import Sequence

from pyinfra.api.deploy import deploy

from stackctl.capabilities.wan import (
    AGENT_FILE,
    CHECK,
    CONFIG_FILE,
    MARKS_FILE,
    PACKAGES,
    UNIT,
    UNIT_FILE,
    WanSpec,
    parted,
)
from stackctl.core.artifact import Artifact
from stackctl.ops import apt, files, machine, systemd
from stackctl.ops import wan as uplinks


@deploy("wan")
def wan(spec: WanSpec, artifacts: Sequence[Artifact]) -> None:
    """The kernel's settings cut nobody off; all the rest is one change that the host takes back if it does."""
    guard = uplinks.guard(artifacts)
    if not spec.uplinks:
        uplinks.gone(name="leave the uplinks alone", guard=guard)
        return
    own = parted(artifacts)
    uplinks.fits(name="check that the uplinks are there", uplinks=spec.uplinks, config=own.config)
    apt.packages(name="install what routes and marks", names=PACKAGES)
    files.write(name="write the kernel's settings", artifacts=own.sysctl)
    machine.sysctl(name="set the kernel's values", values=spec.sysctl, passing=spec.passing)
    marks = files.write(name="write the marks of connections", artifacts=own.marks, check=CHECK, guard=guard)
    networkd = files.write(name="keep networkd from our routes", artifacts=own.networkd, guard=guard)
    uplinks.networkd(name="have networkd know that", reads=own.networkd_paths, after=[networkd], guard=guard)
    agent = files.write(name="write the agent's settings", artifacts=own.agent, guard=guard)
    running = systemd.service(
        name="run the agent",
        unit=UNIT,
        reads=[AGENT_FILE, CONFIG_FILE, MARKS_FILE],
        after=[marks, agent],
        defined_by=[UNIT_FILE],
        redefined=[agent],
        guard=guard,
    )
    uplinks.marked(name="have connections marked", after=[running], guard=guard)
