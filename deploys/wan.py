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
    Files,
    WanSpec,
    parted,
)
from stackctl.core.artifact import Artifact
from stackctl.ops import apt, files, machine, systemd
from stackctl.ops import networkd as read
from stackctl.ops import wan as uplinks
from stackctl.ops.step import Guard


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
    files.write(name="have a boot wait for one uplink alone", artifacts=own.online, guard=guard)
    marks = files.write(name="write the marks of connections", artifacts=own.marks, check=CHECK, guard=guard)
    _system(own, guard)
    agent = files.write(name="write the agent's settings", artifacts=own.agent, guard=guard)
    unit = files.write(name="write the units", artifacts=own.unit, guard=guard)
    running = systemd.service(
        name="run the agent",
        unit=UNIT,
        reads=[AGENT_FILE, CONFIG_FILE, MARKS_FILE],
        after=[marks, agent],
        defined_by=[UNIT_FILE],
        redefined=[unit],
        guard=guard,
    )
    uplinks.marked(name="have connections marked", after=[running], guard=guard)


def _system(own: Files, guard: Guard) -> None:
    """What systemd's own daemons are told."""
    networkd = files.write(name="keep networkd from our routes", artifacts=own.networkd, guard=guard)
    beside = read.extended(name="have networkd read of DHCP", settings=own.dhcp, guard=guard)
    uplinks.known(
        name="have networkd know that",
        unit=uplinks.NETWORKD,
        artifacts=own.networkd,
        after=[networkd, beside],
        reason="which would delete routes that it has not made",
        guard=guard,
    )
    resolved = files.write(name="choose the name servers", artifacts=own.resolved, guard=guard)
    uplinks.known(
        name="have them asked",
        unit=uplinks.RESOLVED,
        artifacts=own.resolved,
        after=[resolved],
        reason="which asks the name servers",
        guard=guard,
    )
