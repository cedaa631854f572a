"""What the commands that reach hosts share: the fleet, its jobs, trust in new host keys."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import typer

from stackctl import project as projects
from stackctl.capabilities import load_fleet
from stackctl.cli.progress import Progress
from stackctl.connections import connection
from stackctl.core.connection import Connection
from stackctl.core.finding import Finding, FindingsError
from stackctl.engine.actor import actor
from stackctl.engine.early import EarlySession
from stackctl.engine.hostkeys import NewKey, trust
from stackctl.engine.hosts import Hosts
from stackctl.engine.session import SshSession
from stackctl.revision import present

_FEW = 16
"""Hosts that are connected to from the start; getting ready for more keeps us so busy that logins would time out."""


@contextmanager
def reached(
    project_path: Path | None,
    environment: str,
    limit: str | None,
    limited_by: str = "--limit",
    *,
    accept: bool,
    quiet: bool,
) -> Iterator[tuple[Hosts, Progress]]:
    """A run over the environment's hosts, connected; those that cannot be reached carry their finding.

    `limited_by` is where a host that does not exist was named.
    """
    project = projects.of(project_path)
    fleet = load_fleet(project.root, environment)
    hosts = limited(sorted(fleet.hosts), limit, environment, limited_by)
    ways = [connection(fleet, project, host) for host in hosts]
    early = {way: EarlySession(way) for way in ways} if len(ways) <= _FEW else {}
    try:
        # Only now, while the hosts let us in: jinja and pyinfra take as long to import as they do.
        from stackctl.engine.shards import spread
        from stackctl.render import jobs

        chosen = jobs(fleet, project, hosts)
        progress = _progress(hosts, quiet=quiet)
        who = cache(lambda: actor(present(project)))
        with spread(environment, chosen, project.deploy, progress, who, partial(_session, early)) as run:
            try:
                _connect(run, progress, accept=accept)
                yield run, progress
            finally:
                progress.pause()
    finally:
        for session in early.values():
            session.close()


def _session(early: dict[Connection, EarlySession], connection: Connection) -> SshSession:
    """The session that is opening already; a second one, once a key is trusted, opens when it is told to."""
    return early.pop(connection, None) or SshSession(connection)


def _progress(hosts: tuple[str, ...], *, quiet: bool) -> Progress:
    """What listens to the run; only a terminal needs rich, which takes its time to import."""
    if quiet or not sys.stderr.isatty():
        return Progress(hosts, quiet=quiet)
    from stackctl.cli.table import LiveProgress

    return LiveProgress(hosts)


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


def limited(hosts: Sequence[str], limit: str | None, environment: str, limited_by: str) -> tuple[str, ...]:
    """Those of the hosts that are named in `limit`, or all."""
    if limit is None:
        return tuple(hosts)
    wanted = [name.strip() for name in limit.split(",") if name.strip()]
    unknown = sorted(set(wanted) - set(hosts))
    if unknown or not wanted:
        raise FindingsError(
            *(
                Finding(
                    limited_by, f"`{name}` is not a host of {environment}", f"there are: {', '.join(hosts)}"
                )
                for name in unknown or [limit]
            )
        )
    return tuple(host for host in hosts if host in wanted)


def _consents(keys: Sequence[NewKey]) -> bool:
    """Ask once for all; nobody is asked where nobody can answer."""
    if not sys.stdin.isatty():
        return False
    print("These hosts show keys that nobody has vouched for yet:", file=sys.stderr)
    for key in keys:
        print(f"  {key.host}  {key.name}  {key.kind} {key.fingerprint}", file=sys.stderr)
    return typer.confirm(f"Trust them from now on, in {keys[0].file}?", default=False, err=True)
