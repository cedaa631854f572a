"""What a change of the inventory does, as people read it and as machines do."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import NamedTuple

from stackctl.plan.change import Action, FileChange
from stackctl.plan.difference import Difference, duration
from stackctl.plan.review import HostReview, Interruption, PartReview, Review
from stackctl.views.findings import counted
from stackctl.views.plan import SIGNS, folded_diff
from stackctl.views.terminal import plain

LEFT = "no longer managed, stays on the host"
OWN_DEPLOYS = "an apply takes other steps, `stackctl plan` shows which"
STOCK_DEPLOY = "gone, the stock one is used"
FATES = {"add": "new", "change": "", "remove": "no longer in the inventory"}
_INLINE = 80
"""Letters of a difference that stand beside its name; what is longer has lines of its own."""
_MOST = 12
"""Lines of one difference; a fleet of hundreds has as many names."""


class Group(NamedTuple):
    """Hosts that go through the same."""

    names: str
    """`gpu1, gpu2`."""
    action: Action
    parts: tuple[PartReview, ...]


def review_text(review: Review) -> str:
    """Hosts with what differs on them, those alike together; interruptions and totals last."""
    if not review.differs:
        return "No differences."
    lines: list[str] = []
    for group in alike(review.hosts):
        lines.append(f"{group.names}  {FATES[group.action]}".rstrip())
        lines += _parts(group.parts)
    if review.deploys or review.deploys_gone:
        lines.append(f"deploys  {OWN_DEPLOYS}")
        lines += [line for file in review.deploys for line in _file("", file)]
        lines += [f"  - {path}  {STOCK_DEPLOY}" for path in review.deploys_gone]
    lines += [f"! {interruption(item)}" for item in review.interruptions]
    return plain("\n".join([*lines, review_totals(review)]))


def review_json(review: Review) -> str:
    """The review's values, as they are."""
    return json.dumps({"format": 1, **asdict(review), "differs": review.differs}, indent=2)


def review_totals(review: Review, quoted: Callable[[str], str] = str) -> str:
    """`prod against HEAD: 1 host added, 2 changed; 1 container created, 2 recreated; 7 files differ.`"""
    heading = f"{review.environment} against {quoted(review.before)}"
    if not review.differs:
        return f"{heading}: no differences."
    parts = [part for host in review.hosts for part in host.parts]
    containers = [item.action for part in parts for item in part.differences if item.kind == "container"]
    files = sum(len(part.files) + len(part.left) for part in parts)
    deploys = len(review.deploys) + len(review.deploys_gone)
    told = (
        _tally("host", [host.action for host in review.hosts], ("added", "changed", "removed")),
        _tally("container", containers, ("created", "recreated", "removed")),
        counted(files, "file") if files else "",
        counted(deploys, "deploy") if deploys else "",
    )
    return f"{heading}: {'; '.join(part for part in told if part)}."


def alike(hosts: Sequence[HostReview]) -> Iterator[Group]:
    """What several hosts have in common stands once, before what each has for itself."""
    owners: dict[tuple[Action, PartReview], list[str]] = {}
    for host in hosts:
        for part in host.parts:
            owners.setdefault((host.action, part), []).append(host.host)
    groups: dict[tuple[tuple[str, ...], Action], list[PartReview]] = {}
    for (action, part), names in owners.items():
        groups.setdefault((tuple(names), action), []).append(part)
    for names_of, action in sorted(groups, key=lambda group: (group[0][0], -len(group[0]), group[0])):
        yield Group(", ".join(names_of), action, tuple(groups[names_of, action]))


def interruption(item: Interruption, quoted: Callable[[str], str] = str) -> str:
    """`chat is interrupted for up to 30 min: none of its replicas goes on running`."""
    if not item.seconds:
        return f"{quoted(item.model)} is served no more: it is placed nowhere"
    told = (
        f"{quoted(item.model)} is interrupted for up to {duration(item.seconds)}: no replica goes on running"
    )
    one_by_one = "; apply to its hosts one by one with `--limit` to keep one answering"
    return told + one_by_one if len(item.hosts) > 1 else told


def laid_out(item: Difference) -> tuple[str, tuple[str, ...]]:
    """What stands beside a difference's name, and the lines below it."""
    items = tuple(text.replace("\n", "\\n") for text in item.items)
    beside = "; ".join(part for part in (", ".join(items), item.note) if part)
    if len(beside) <= _INLINE:
        return beside, ()
    if len(items) <= _MOST + 1:
        return item.note, items
    return item.note, (*items[:_MOST], f"… {len(items) - _MOST} more")


def _parts(parts: Sequence[PartReview]) -> Iterator[str]:
    first = max(len(part.capability) for part in parts)
    second = max((len(_name(item)) for part in parts for item in part.differences), default=0)
    for part in parts:
        capability = f"{part.capability:<{first}}  "
        for item in part.differences:
            beside, below = laid_out(item)
            yield f"  {SIGNS[item.action]} {capability}{_name(item):<{second}}  {beside}".rstrip()
            yield from (f"      {line}" for line in below)
        for file in part.files:
            yield from _file(capability, file)
        yield from (f"  - {capability}{path}  {LEFT}" for path in part.left)


def _file(capability: str, file: FileChange) -> Iterator[str]:
    yield f"  {SIGNS[file.action]} {capability}{file.path}  {file.reason}"
    yield from (f"      {line}" for line in folded_diff(file))


def _name(item: Difference) -> str:
    return f"{item.kind} {item.name}".rstrip()


def _tally(noun: str, found: Sequence[Action], words: tuple[str, str, str]) -> str:
    """`1 host added, 2 changed`."""
    actions: tuple[Action, ...] = ("add", "change", "remove")
    counts = [(found.count(action), word) for action, word in zip(actions, words, strict=True)]
    told = [(count, word) for count, word in counts if count]
    return ", ".join(
        f"{counted(count, noun) if index == 0 else count} {word}" for index, (count, word) in enumerate(told)
    )
