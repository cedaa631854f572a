"""What a change of a host's weights means: what is fetched, and what stays for nobody."""

from collections.abc import Iterator

from stackctl.capabilities.weights import Repository, Serving, WeightsSpec
from stackctl.core.size import sized
from stackctl.plan.difference import Difference, listed

_FETCHED = "fetched before a server is stopped for them, where the host does not have them"
_STAY = "stay on the host until `stackctl weights prune`"
_UNLOCKED = "not in weights.lock: run `stackctl lock`, or an apply refuses the host"


def weights(before: WeightsSpec | None, after: WeightsSpec) -> Iterator[Difference]:
    """Repositories that join and go with their sizes, and what somebody else brings."""
    old, new = _repositories(before), _repositories(after)
    joining = tuple(_named(item) for path, item in new.items() if path not in old)
    going = tuple(_named(item) for path, item in old.items() if path not in new)
    if joining:
        yield Difference("add", "repositories", items=joining, note=_FETCHED)
    if going:
        yield Difference("remove", "repositories", items=going, note=_STAY)
    known = {item.path for item in before.unlocked} if before else set()
    unlocked = tuple(item.name for item in after.unlocked if item.path not in known)
    if unlocked:
        yield Difference("add", "repositories", items=unlocked, note=_UNLOCKED)
    yield from listed("weights", before.brought if before else (), after.brought)
    yield from listed("served to other hosts at", _at(before.serving if before else None), _at(after.serving))


def _repositories(spec: WeightsSpec | None) -> dict[str, Repository]:
    return {item.path: item for item in spec.repositories} if spec else {}


def _named(item: Repository) -> str:
    commit = item.path.rpartition("/")[2]
    return f"{item.name}@{commit[:12]} {sized(item.size)}"


def _at(serving: Serving | None) -> str | None:
    return None if serving is None else f"{serving.address}:{serving.port}"
