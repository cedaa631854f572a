"""What a reviewer reads of weights that join and go."""

from dataclasses import replace

from stackctl.capabilities.weights import Repository, Serving, Unlocked, WeightsSpec
from stackctl.plan.difference import Difference
from stackctl.plan.weights import weights


def repository(name: str, commit: str, size: int) -> Repository:
    return Repository(name, f"/srv/weights/hub/{name}/{commit * 40}", size, (), ())


SMALL, LARGE = repository("a/small", "1", 2_000_000), repository("a/large", "2", 19_300_000_000)
NONE = WeightsSpec("/srv/weights", (), (), (), (), None)


def test_what_is_fetched_is_told_with_its_size_and_what_stays_with_a_way_to_be_rid_of_it() -> None:
    before, after = replace(NONE, repositories=(SMALL,)), replace(NONE, repositories=(LARGE,))

    assert list(weights(before, after)) == [
        Difference(
            "add",
            "repositories",
            items=("a/large@222222222222 19.3 GB",),
            note="fetched before a server is stopped for them, where the host does not have them",
        ),
        Difference(
            "remove",
            "repositories",
            items=("a/small@111111111111 2.0 MB",),
            note="stay on the host until `stackctl weights prune`",
        ),
    ]


def test_a_repository_without_a_lock_is_told_once() -> None:
    after = replace(NONE, unlocked=(Unlocked("a/new@main", "/srv/weights/hub/a/new/main"),))

    [told] = weights(None, after)

    assert (told.items, told.note) == (
        ("a/new@main",),
        "not in weights.lock: run `stackctl lock`, or an apply refuses the host",
    )
    assert list(weights(after, after)) == []


def test_where_others_get_its_weights_is_told() -> None:
    after = replace(NONE, serving=Serving("10.77.0.12", 8409, ()))

    assert [(told.kind, told.items) for told in weights(NONE, after)] == [
        ("served to other hosts at", ("10.77.0.12:8409",))
    ]


def test_a_lock_that_stays_is_nothing() -> None:
    assert list(weights(replace(NONE, repositories=(SMALL,)), replace(NONE, repositories=(SMALL,)))) == []
