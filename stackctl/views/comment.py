"""What a change of the inventory does, as a comment under a pull request.

Everything that somebody wrote stands in code, whose fences are longer than any run of backticks inside: it can
neither end them nor mention, link or format anything.
"""

import html
import re
from collections.abc import Iterator

from stackctl.plan.change import FileChange
from stackctl.plan.difference import Difference
from stackctl.plan.review import PartReview, Review
from stackctl.views.plan import SIGNS, folded_diff
from stackctl.views.review import (
    FATES,
    LEFT,
    OWN_DEPLOYS,
    STOCK_DEPLOY,
    alike,
    interruption,
    laid_out,
    review_totals,
)
from stackctl.views.terminal import plain

_LONGEST = 60_000
"""GitHub takes 65536 letters."""
_TOO_LONG = "The diffs are too long for a comment: `stackctl diff` shows them."


def review_comment(review: Review) -> str:
    """Totals first, interruptions, then a list for each group of hosts that are alike, diffs folded away."""
    text = "\n\n".join(_blocks(review, diffs=True))
    if len(text) > _LONGEST:
        text = "\n\n".join([*_blocks(review, diffs=False), _TOO_LONG])
    return plain(text)


def _blocks(review: Review, *, diffs: bool) -> Iterator[str]:
    yield f"**{review_totals(review, _code)}**"
    if review.interruptions:
        yield "\n".join(f"- **{interruption(item, _code)}**" for item in review.interruptions)
    for group in alike(review.hosts):
        yield _heading(group.names, FATES[group.action])
        yield "\n".join(line for part in group.parts for line in _part(part))
        if diffs:
            yield from (_details(file) for part in group.parts for file in part.files if file.diff)
    if review.deploys or review.deploys_gone:
        yield _heading("deploys", OWN_DEPLOYS)
        gone = (f"- `-` {_code(path)}: {STOCK_DEPLOY}" for path in review.deploys_gone)
        yield "\n".join([*(_file(file) for file in review.deploys), *gone])
        if diffs:
            yield from (_details(file) for file in review.deploys if file.diff)


def _heading(names: str, fate: str) -> str:
    return f"### {names}: {fate}" if fate else f"### {names}"


def _part(part: PartReview) -> Iterator[str]:
    for item in part.differences:
        yield from _difference(part.capability, item)
    yield from (_file(file) for file in part.files)
    yield from (f"- `-` {_code(path)}: {LEFT}" for path in part.left)


def _difference(capability: str, item: Difference) -> Iterator[str]:
    name = f"{item.kind} {_code(item.name)}" if item.name else item.kind
    head = f"- `{SIGNS[item.action]}` {capability} · {name}"
    _, below = laid_out(item)
    beside = () if below else item.items
    told = "; ".join(part for part in (", ".join(_code(word) for word in beside), item.note) if part)
    yield f"{head}: {told}" if told else head
    yield from (f"  - {_code(line)}" for line in below)


def _file(file: FileChange) -> str:
    return f"- `{SIGNS[file.action]}` {_code(file.path)}: {file.reason}"


def _details(file: FileChange) -> str:
    body = "\n".join(folded_diff(file))
    fence = "`" * max(3, _longest_run(body) + 1)
    summary = f"<summary><code>{html.escape(file.path)}</code></summary>"
    return f"<details>{summary}\n\n{fence}diff\n{body}\n{fence}\n\n</details>"


def _code(text: str) -> str:
    """A code span that holds any text."""
    line = " ".join(text.split()) or " "
    fence = "`" * (_longest_run(line) + 1)
    space = " " if "`" in (line[0], line[-1]) else ""
    return f"{fence}{space}{line}{space}{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
