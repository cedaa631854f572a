"""How two values differ, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from stackctl.core.compose import Port
from stackctl.core.secret import SecretRef
from stackctl.plan.delta import Delta, arguments, delta, shown


@dataclass(frozen=True)
class Login:
    registry: str
    user: str
    password: SecretRef


TOKEN = SecretRef("env", "TOKEN")


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (1, 1, Delta()),
        (22, 2222, Delta(changed=("22 → 2222",))),
        (None, "ops", Delta(added=("ops",))),
        ("ops", None, Delta(removed=("ops",))),
        (False, True, Delta(changed=("false → true",))),
        (TOKEN, SecretRef("file", "t"), Delta(changed=("env:TOKEN → file:t",))),
        (("curl", "jq"), ("curl", "vim"), Delta(added=("vim",), removed=("jq",))),
        (("a", "b"), ("b", "a"), Delta(changed=("a, b → b, a",))),
        ({"a": "1", "b": "2"}, {"b": "3", "c": "4"}, Delta(("c 4",), ("a 1",), ("b 2 → 3",))),
        ({"x": []}, {"x": ["r:5000"]}, Delta(changed=("x none → r:5000",))),
        (None, {"a": 1}, Delta(added=("a 1",))),
    ],
)
def test_what_joins_goes_and_changes_is_told_apart(before: Any, after: Any, found: Delta) -> None:
    assert delta(before, after) == found


def test_records_of_a_list_are_told_apart_by_their_first_field() -> None:
    before = (Login("hub", "a", TOKEN), Login("old", "b", TOKEN))
    after = (Login("hub", "a", SecretRef("env", "NEW")), Login("quay", "c", TOKEN))

    assert delta(before, after) == Delta(
        added=("quay user c, password env:TOKEN",),
        removed=("old user b, password env:TOKEN",),
        changed=("hub password env:TOKEN → env:NEW",),
    )


def test_a_model_of_pydantics_reads_like_any_record() -> None:
    port = Port(target=8000, host_ip="10.0.0.1", published="80")

    assert shown(port) == "target 8000, host_ip 10.0.0.1, published 80, protocol tcp"


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("serve --seqs 64 --quiet", "serve --seqs 96 --quiet", ("--seqs 64 → --seqs 96",)),
        ("serve --seqs 64", "serve --seqs 64 --eager", ("nothing → --eager",)),
        ("serve --eager --seqs 64", "serve --seqs 64", ("--eager → nothing",)),
        ("serve --a 1 --b 2", "serve --a 3 --b 4", ("--a 1 → --a 3", "--b 2 → --b 4")),
        ("/weights/old --a 1", "/weights/new --a 1", ("/weights/old → /weights/new",)),
    ],
)
def test_a_value_that_changes_stands_with_its_flag(before: str, after: str, found: tuple[str, ...]) -> None:
    assert arguments(before.split(), after.split()) == found


def test_neither_side_is_touched() -> None:
    before: Mapping[str, Any] = {"a": (Login("hub", "a", TOKEN),)}

    delta(before, {"a": ()})

    assert before == {"a": (Login("hub", "a", TOKEN),)}
