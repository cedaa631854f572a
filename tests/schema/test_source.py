from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.finding import Finding, FindingsError
from stackctl.schema.source import read


def plain(text: str) -> Any:
    tree, wrong = read(text, "x.yaml")
    assert wrong == []
    return tree.plain


def refusal(text: str) -> list[str]:
    return [f"{finding.where} {finding.what} | {finding.hint}" for finding in findings(text)]


def findings(text: str) -> Sequence[Finding]:
    try:
        return read(text, "x.yaml")[1]
    except FindingsError as error:
        return error.findings


@pytest.mark.parametrize(
    "text", ["no", "on", "yes", "off", "0644", "12:30", "1_000", "2026-11-23", "0x1f", "NO", "=", "<<"]
)
def test_what_yaml_1_1_would_change_stays_text(text: str) -> None:
    assert plain(f"a: {text}") == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8080", 8080),
        ("-1", -1),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_numbers_truth_and_nothing_are_what_they_look_like(text: str, value: object) -> None:
    assert plain(f"a: {text}") == {"a": value}


def test_quoted_is_text() -> None:
    assert plain("""{a: "8080", b: 'true'}""") == {"a": "8080", "b": "true"}


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert plain("") == plain("# nothing\n") == {}


def test_anchors_are_spelt_out() -> None:
    assert plain("a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}


def test_every_value_knows_its_line() -> None:
    tree, _ = read("a:\n  b:\n    - 1\n    - 2\n", "x.yaml")

    assert tree.nearest(("a", "b", 1)).where == "x.yaml:4"
    assert tree.nearest(("a", "missing")).where == "x.yaml:1"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("a: 1\nb: 2\na: 3", "x.yaml:3 `a` stands here again, first in line 1 | keep one of them"),
        ("a:\n\tb: 1", "x.yaml:2 a tab indents this line | indent with spaces"),
        ("- a", "x.yaml:1 is not a mapping of settings | write `name: value` lines at the top level"),
        ("a: 1\n---\nb: 1", "x.yaml:2 a second document starts here | one file holds one environment"),
        ("a: !secret x", "x.yaml:1 a tag (`!`) stands here, which inventories do not have | quote the value"),
        (
            "{a: 1}: 2",
            "x.yaml:1 a setting's name has to be text | quote it if it starts with `*`, `{` or `[`",
        ),
        (
            "a: *x",
            (
                "x.yaml:1 `*` refers to an anchor that is not there"
                " | define it with `&` further up, or quote a text that starts with `*`"
            ),
        ),
        (
            "a: 1\nb: c: d",
            (
                "x.yaml:2 is not YAML: mapping values are not allowed in this context"
                " | check indentation, quotes, brackets and colons here and in the line above"
            ),
        ),
        (
            "a: [1\n",
            (
                "x.yaml:2 is not YAML: did not find expected ',' or ']', in what begins in line 1"
                " | check indentation, quotes, brackets and colons here and in the line above"
            ),
        ),
        (
            "a: 1\nb: \x00",
            "x.yaml:2 has a character that YAML does not allow | remove control characters and byte-order marks",
        ),
    ],
)
def test_what_is_not_an_inventory_is_refused(text: str, finding: str) -> None:
    assert refusal(text) == [finding]


def test_several_doubled_names_are_found_at_once() -> None:
    assert len(refusal("a: 1\na: 2\nb: 1\nb: 2")) == 2


def test_deep_nesting_is_refused() -> None:
    assert refusal("a: " + "[" * 100_000) == [
        "x.yaml:1 is nested too deeply | an inventory needs less than 40 levels"
    ]


def test_aliases_of_aliases_do_not_multiply() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))

    assert refusal(text) == ["x.yaml:6 the file holds more than 1000000 values | aliases of aliases multiply"]


def test_what_a_syntax_error_stands_in_is_not_repeated() -> None:
    assert "hunter2" not in "".join(refusal("password: *hunter2") + refusal('password: "hunter2'))


YAML = st.text(alphabet=st.sampled_from("ab:- \n\t{}[],&*!|>'\"#%@`?<0.~\\é\x07"), max_size=60)


@given(st.one_of(st.text(max_size=60), YAML))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert all(finding.where.startswith("x.yaml") and finding.hint for finding in findings(text))
