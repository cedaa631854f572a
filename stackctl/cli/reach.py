"""What the commands that reach hosts share: the fleet, its jobs, trust in new host keys."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import typer

from stackctl import project as projects
from stackctl.capabilities import load_fleet
from stackctl.cli.progress import Progress
from stackctl.core.finding import Finding, FindingsError
from stackctl.core.job import Job
from stackctl.engine.actor import Actor, actor
from stackctl.engine.hostkeys import NewKey, trust
from stackctl.engine.hosts import Hosts
from stackctl.engine.run import Run
from stackctl.engine.shards import Shards
from stackctl.render import jobs
from stackctl.revision import present

_MANY = 64
"""Hosts from which on starting more processes pays."""


@contextmanager
def reached(
    project_path: Path | None, environment: str, limit: str | None, *, accept: bool, quiet: bool
) -> Iterator[tuple[Hosts, Progress]]:
    """A run over the environment's hosts, connected; those that cannot be reached carry their finding."""
    project = projects.of(project_path)
    fleet = load_fleet(project.root, environment)
    chosen = limited(jobs(fleet, project), limit, environment)
    progress = Progress(tuple(job.host for job in chosen), quiet=quiet)
    who = cache(lambda: actor(present(project)))
    with _hosts(environment, chosen, project.deploy, progress, who) as run:
        try:
            _connect(run, progress, accept=accept)
            yield run, progress
        finally:
            progress.pause()


def _hosts(
    environment: str,
    chosen: Sequence[Job],
    find_deploy: Callable[[str], Path],
    progress: Progress,
    who: Callable[[], Actor],
) -> Hosts:
    """One process for a few hosts; for many, as many as there are cores: evaluating them is work."""
    processes = os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
    if len(chosen) < _MANY or (processes or 1) < 2:
        return Run(environment, chosen, find_deploy, progress, who)
    return Shards(environment, chosen, find_deploy, progress, who, processes or 1)


def _connect(run: Hosts, progress: Progress, *, accept: bool) -> None:
    """Connect, asking for trust in new keys; a host behind a new jump host shows its own key only then."""
    trusted: set[NewKey] = set()
    while unknown := run.connect():
        progress.pause()
        # What is not believed although it was trusted, a revoked key for one, never will be.
        run.refuse([key for key in unknown if key in trusted])
        new = [key for key in unknown if key not in trusted]
        if new and (accept or _consents(new)):
            trust(new)
            trusted.update(new)
        else:
            run.refuse(new)


def limited(all_jobs: Sequence[Job], limit: str | None, environment: str) -> tuple[Job, ...]:
    """The jobs of the hosts named in `limit`, or all."""
    if limit is None:
        return tuple(all_jobs)
    wanted = [name.strip() for name in limit.split(",") if name.strip()]
    known = {job.host for job in all_jobs}
    unknown = sorted(set(wanted) - known)
    if unknown or not wanted:
        raise FindingsError(
            *(
                Finding(
                    "--limit",
                    f"`{name}` is not a host of {environment}",
                    f"there are: {', '.join(sorted(known))}",
                )
                for name in unknown or [limit]
            )
        )
    return tuple(job for job in all_jobs if job.host in wanted)


def _consents(keys: Sequence[NewKey]) -> bool:
    """Ask once for all; nobody is asked where nobody can answer."""
    if not sys.stdin.isatty():
        return False
    print("These hosts show keys that nobody has vouched for yet:", file=sys.stderr)
    for key in keys:
        print(f"  {key.host}  {key.name}  {key.kind} {key.fingerprint}", file=sys.stderr)
    return typer.confirm(f"Trust them from now on, in {keys[0].file}?", default=False, err=True)
