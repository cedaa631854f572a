"""`stackctl lock`: what images and model repositories are exactly, for all environments."""

import sys
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from stackctl import project as projects
from stackctl.cli.options import AsJson, ProjectPath
from stackctl.core.finding import Finding, FindingsError
from stackctl.lab.spec import REGISTRY
from stackctl.ops import durable
from stackctl.plan import locks
from stackctl.plan.locks import Answers, LockPart, LockReview
from stackctl.schema.fleet import Fleet
from stackctl.schema.image import Locked
from stackctl.schema.load import LOCK, WEIGHTS_LOCK, environments, in_order, load
from stackctl.schema.lock import chosen
from stackctl.schema.lock_text import images_text, weights_text
from stackctl.schema.snapshot import Snapshot
from stackctl.views.findings import findings_text, findings_totals
from stackctl.views.lock import lock_json, lock_text

T = TypeVar("T")


def lock(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="Models, images or repositories; default: the whole catalogue.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 3 when the locks are not as upstream.")
    ] = False,
    only_images: Annotated[bool, typer.Option("--images", help="Only inventory/images.lock.")] = False,
    only_weights: Annotated[bool, typer.Option("--weights", help="Only inventory/weights.lock.")] = False,
    as_json: AsJson = False,
    project: ProjectPath = None,
) -> None:
    """Record what images and model repositories are exactly, for review, in inventory/*.lock.

    What cannot be looked up stays as it is locked, and is told. Images of the lab's own registry are left alone.
    """
    root = projects.of(project).root
    run = _Run(_fleets(root), names or (), told=sys.stderr.isatty() and not as_json)
    both = only_images == only_weights
    images = run.images() if both or only_images else None
    weights = run.weights() if both or only_weights else None
    review = LockReview(tuple(part for part in (images, weights) if part is not None))
    findings = in_order(item for error in run.failures for item in error.findings)
    if not check:
        _write(root / "inventory" / LOCK, images, images_text)
        _write(root / "inventory" / WEIGHTS_LOCK, weights, weights_text)
    if as_json:
        typer.echo(lock_json(review, findings, checked=check))
    else:
        typer.echo(lock_text(review, checked=check))
        _show(findings)
    if run.failures:
        raise typer.Exit(max(error.exit_code for error in run.failures))
    if check and review.changes:
        raise typer.Exit(3)


class _Run:
    """What is asked, and what went wrong with it."""

    def __init__(self, fleets: Sequence[Fleet], names: Sequence[str], *, told: bool) -> None:
        from stackctl.upstream.lookup import access

        self.fleet = fleets[0]  # catalogue and locks are the same for all
        self.access = access(fleets)
        self.wanted = chosen(self.fleet.models, names)
        self.whole = not names
        self.told = told
        self.failures: list[FindingsError] = []

    def images(self) -> LockPart[Locked]:
        """The lock of images, against what registries say."""
        from stackctl.upstream.lookup import ImageRegistries

        old = self.fleet.digests
        # Every machine's lab builds its own, so that one's digests are of no use to the other.
        wanted = tuple(image for image in self.wanted.images if not image.startswith(f"{REGISTRY}/"))
        with closing(ImageRegistries(self.access)) as registries:
            found = self._answers(wanted, lambda image: registries.locked(image, old.get(image)))
        return locks.images(old, found, self._unused(old, self.wanted.images))

    def weights(self) -> LockPart[Snapshot]:
        """The lock of weights, against what the hub says."""
        old, wanted = self.fleet.snapshots, self.wanted.repositories
        found: Answers[Snapshot] = Answers({})
        if wanted:
            from stackctl.upstream.hub import ModelHubs

            with closing(ModelHubs(self.access.hubs)) as hubs:
                found = self._answers(wanted, lambda name: hubs.locked(wanted[name], old.get(name)))
        return locks.weights(old, found, self._unused(old, wanted))

    def _answers(self, names: Iterable[str], ask: Callable[[str], T]) -> Answers[T]:
        from stackctl.upstream.lookup import answers

        def asked(name: str) -> T:
            if self.told:
                print(f"asking for {name} …", file=sys.stderr, flush=True)
            return ask(name)

        found, failures = answers(names, asked)
        self.failures += failures
        return found

    def _unused(self, old: Iterable[str], used: Container[str]) -> tuple[str, ...]:
        """Entries that nothing in the catalogue needs; of a part of it nobody can tell."""
        return tuple(name for name in old if name not in used) if self.whole else ()


def _fleets(root: Path) -> tuple[Fleet, ...]:
    """Every environment, since all of them share the locks; FindingsError has all that is wrong."""
    names = environments(root)
    if not names:
        what = "there are no environments"
        raise FindingsError(Finding(str(root / "inventory"), what, "write inventory/NAME.yaml"))
    fleets: list[Fleet] = []
    findings: list[Finding] = []
    for name in names:
        try:
            fleets.append(load(root, name))
        except FindingsError as error:
            findings += error.findings
    if findings:
        raise FindingsError(*in_order(findings))
    return tuple(fleets)


def _write(path: Path, part: LockPart[T] | None, text: Callable[[Mapping[str, T]], str]) -> None:
    """Only what is to change is written, so that a file stays as it is where nothing moved."""
    if part is not None and part.changes:
        with durable.alone(path.parent):
            durable.write(path, text(part.entries).encode(), mode=0o644)


def _show(findings: Sequence[Finding]) -> None:
    if findings:
        typer.echo(f"{findings_text(findings)}\n{findings_totals(findings)}", err=True)
