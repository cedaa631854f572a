"""What a change of a host's uplinks means, in words."""

from pathlib import Path

import pytest

from stackctl.capabilities import wan
from stackctl.plan.uplinks import left, uplinks
from tests.inventory import fleet

FIBRE = "{name: fibre, interface: w1, gateway: 192.0.2.1}"
LTE = "{name: lte, interface: w2, metered: true}"


def spec(folder: Path, name: str, listed: str, more: str = "") -> wan.WanSpec:
    below = folder / name
    below.mkdir()
    found = wan.resolve(
        fleet(below, f"hosts: {{a: {{address: 10.0.0.1, wan: {{uplinks: [{listed}], {more}}}}}}}"), "a"
    )
    assert found is not None
    return found


def told(before: wan.WanSpec | None, after: wan.WanSpec) -> list[str]:
    return [
        " | ".join(filter(None, (f"{item.action} {item.kind} {item.name}".strip(), *item.items, item.note)))
        for item in uplinks(before, after)
    ]


def test_uplinks_of_a_host_that_had_none_are_told_one_by_one(tmp_path: Path) -> None:
    assert told(None, spec(tmp_path, "after", f"{FIBRE}, {LTE}")) == [
        "add uplink fibre | w1, gateway 192.0.2.1, dead after 2.5 s",
        "add uplink lte | w2, gateway auto, dead after 2.5 s, metered",
    ]


@pytest.mark.parametrize(
    ("after", "more", "expected"),
    [
        (f"{FIBRE}, {LTE}", "", []),
        (
            f"{FIBRE.replace('192.0.2.1', '192.0.2.9')}, {LTE}",
            "",
            [
                (
                    "change uplink fibre | gateway 192.0.2.1 → 192.0.2.9"
                    " | connections that go by it have to begin anew"
                )
            ],
        ),
        (
            f"{FIBRE}, {LTE}",
            "probing: {hold: 5, down_after: 2}, quorum: 1",
            [
                "change uplink fibre | dead after 2.5 s → 1.5 s | probing down_after 4 → 2, hold 60.0 → 5.0",
                "change uplink lte | dead after 2.5 s → 1.5 s | probing down_after 4 → 2, hold 60.0 → 5.0",
                "change quorum | 2 → 1",
            ],
        ),
        (
            f"{LTE.replace(', metered: true', ', number: 2')}, {FIBRE.replace('}', ', number: 1}')}",
            "",
            [
                "change uplink lte | metered true → false",
                "change preference | fibre, lte → lte, fibre | new connections move to lte once it has held",
            ],
        ),
        (
            f"{FIBRE}, {{name: dsl, interface: w3, number: 3}}",
            "",
            [
                "add uplink dsl | w3, gateway auto, dead after 2.5 s",
                "remove uplink lte | connections that go by it have to begin anew",
            ],
        ),
        (
            "",
            "",
            [
                (
                    "remove uplinks | fibre | lte"
                    " | the agent stops, and its rules, routes and files go: the system's own default route holds"
                )
            ],
        ),
    ],
)
def test_what_changes_is_told_with_what_it_does_to_connections(
    tmp_path: Path, after: str, more: str, expected: list[str]
) -> None:
    before = spec(tmp_path, "before", f"{FIBRE}, {LTE}")

    assert told(before, spec(tmp_path, "after", after, more)) == expected


def test_uplinks_that_are_not_written_any_more_stay_until_they_are_written_away(tmp_path: Path) -> None:
    assert left(spec(tmp_path, "before", f"{FIBRE}, {LTE}")).note.endswith(
        "an apply leaves what it set up as it is; `uplinks: []` has it taken away first"
    )
