"""The receipt against the host, apart from the inventory against the receipt."""

from stackctl.plan.change import Change
from stackctl.plan.drift import Drifted, Seen, drift
from stackctl.plan.receipt import Receipt

CONF = {"mode": "644", "sha256": "aa"}
RECEIPT = Receipt(
    "run-1", "alice", "laptop", "", "0.1.0", "prod",
    wanted={"system": "one", "docker": "two"},
    things={"file /etc/a": CONF, "package curl": {"version": "8.1"}, "file /etc/gone": {}},
)  # fmt: skip
WRITE = Change("system", "write /etc/a", "change", "lines: 1 added")
PULL = Change("docker", "pull", "add", "pull it")


def test_a_host_as_it_was_left_has_no_drift() -> None:
    found = drift("gpu1", RECEIPT, (Seen("system", {"file /etc/a": CONF}, None),), RECEIPT.wanted)

    assert not found.drifted


def test_a_thing_that_differs_from_the_receipt_is_drift_with_its_difference() -> None:
    seen = (Seen("system", {"file /etc/a": {"mode": "600", "sha256": "bb"}, "package curl": {}}, WRITE),)

    found = drift("gpu1", RECEIPT, seen, RECEIPT.wanted)

    assert [(item.thing, item.differences) for item in found.things] == [
        ("file /etc/a", ("mode 644 became 600", "content changed")),
        ("package curl", ("is gone",)),
    ]
    assert (found.changes, found.wanted) == ((WRITE,), ())


def test_what_was_not_there_and_now_is_has_appeared() -> None:
    assert Drifted("file /etc/gone", {}, CONF).differences == ("appeared",)


def test_a_change_of_the_inventory_is_told_apart_from_drift() -> None:
    seen = (Seen("system", {"file /etc/a": CONF}, WRITE),)

    found = drift("gpu1", RECEIPT, seen, {"system": "another"})

    assert not found.drifted
    assert found.wanted == (WRITE,)


def test_a_change_that_the_same_inventory_did_not_want_before_is_drift_whatever_was_seen() -> None:
    found = drift("gpu1", RECEIPT, (Seen("docker", {}, PULL),), {"docker": "two"})

    assert (found.drifted, found.changes) == (True, (PULL,))


def test_a_host_that_changed_in_both_ways_shows_each_where_it_belongs() -> None:
    seen = (
        Seen("system", {"file /etc/a": {"mode": "600", "sha256": "aa"}}, WRITE),
        Seen("docker", {}, PULL),
    )

    found = drift("gpu1", RECEIPT, seen, {"system": "another", "docker": "another"})

    assert (found.changes, found.wanted) == ((WRITE,), (PULL,))


def test_what_hangs_on_a_change_of_drift_is_drift_too() -> None:
    restart = Change("system", "run a", "change", "restart a", after=("write /etc/a",))
    seen = (
        Seen("system", {"file /etc/a": {"mode": "600", "sha256": "aa"}}, WRITE),
        Seen("system", {"unit a": {"state": "active"}}, restart),
    )

    found = drift("gpu1", RECEIPT, seen, {"system": "another"})

    assert (found.changes, found.wanted) == ((WRITE, restart), ())


def test_a_host_without_a_receipt_cannot_be_compared() -> None:
    found = drift("gpu1", None, (Seen("system", {"file /etc/a": CONF}, WRITE),), {})

    assert (found.since, found.drifted, found.wanted) == (None, False, (WRITE,))
