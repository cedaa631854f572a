import re

import pytest

from stackctl.core.secret import PATTERN, SecretRef, unfit


@pytest.mark.parametrize(
    "text", ["env:HF_TOKEN", "age:hf-token", "age:1", "file:~/a b", "command:pass show a"]
)
def test_a_reference_is_one_for_us_and_for_editors(text: str) -> None:
    assert SecretRef.parse(text).written == text
    assert re.search(PATTERN, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "env:",
        "env:1A",
        "age:",
        "age:HF",
        "age:hf_token",
        "age:-a",
        "file:",
        "vault:a",
        "age: a",
    ],
)
def test_anything_else_is_none_for_both(text: str) -> None:
    with pytest.raises(ValueError, match="not a reference to a secret"):
        SecretRef.parse(text)
    assert not re.search(PATTERN, text)


def test_only_a_secret_of_the_project_is_beside_its_inventory() -> None:
    assert SecretRef.parse("age:a", "/p/secrets.age").beside == "/p/secrets.age"
    assert SecretRef.parse("env:A", "/p/secrets.age").beside is None
    assert SecretRef.parse("age:a", "/p/secrets.age").placeholder == "<<secret age:a>>"
    assert SecretRef.parse("age:a", "/p/secrets.age").hash_placeholder == "<<sha256 age:a>>"


@pytest.mark.parametrize("value", ["a'b", 'a"b', "a\\b", "a\nb", "a\rb"])
def test_what_formats_quote_in_different_ways_is_unfit(value: str) -> None:
    assert unfit(value) == "it holds a quote, a backslash or a line break"


def test_all_other_characters_are_fit() -> None:
    assert unfit("a B 0 ü $ ` % { } # < > & ; | = :") is None
