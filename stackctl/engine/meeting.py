"""What hosts tell of themselves before a run, since others have to know it: their public keys."""

from collections.abc import Callable, Mapping
from typing import Any

from stackctl.core.job import Job
from stackctl.engine.batch import Command
from stackctl.engine.work import Work
from stackctl.ops import wireguard
from stackctl.ops.fleet import Introduction

INTRODUCTIONS: dict[str, Callable[[Any], Introduction | None]] = {"mesh": wireguard.introduction}
"""How a capability's part of a host introduces itself, from its specification."""

_SECONDS = 30


def introductions(job: Job) -> tuple[Introduction, ...]:
    """All that a host has to tell others."""
    found = (
        INTRODUCTIONS[part.capability](part.spec) for part in job.parts if part.capability in INTRODUCTIONS
    )
    return tuple(each for each in found if each is not None)


def told(those: tuple[Introduction, ...], *, make: bool) -> Work[Mapping[str, str]]:
    """Values by topic. What fails here says nothing: the host's own operations will tell it better."""
    scripts = [each.make if make else each.tell for each in those]
    answers = yield [Command(script, _SECONDS) for script in scripts]
    lines = (line.partition(" ") for answer in answers for line in answer.stdout.splitlines())
    return {topic: value.strip() for topic, _, value in lines if value.strip()}
