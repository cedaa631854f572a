from pathlib import Path

import pytest

from stackctl.schema.load import load_with_warnings
from tests.inventory import HOSTS, complaints, project


def catalogue(settings: str, image: str = "vllm/vllm-openai:v0.33.0") -> str:
    return (
        f"models:\n  x: {{server: vllm, image: '{image}', weights: {{path: w}}, api: [chat], {settings}}}\n"
    )


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        (
            "tool_call_parser: hermse",
            "`hermse` is no `tool_call_parser` of vLLM 0.33 | did you mean `hermes`?",
        ),
        (
            "extra_args: [--sed, '1']",
            "`--sed` is no argument of vLLM 0.33 | did you mean `--seed`?",
        ),
        (
            "extra_args: [--zzzzzz]",
            "`--zzzzzz` is no argument of vLLM 0.33 | read what the image's program says to `--help`",
        ),
        (
            "speculative: {method: ngrams, tokens: 3}",
            "`ngrams` is no way of guessing tokens of vLLM 0.33 | did you mean `ngram`?",
        ),
    ],
)
def test_a_word_that_the_program_does_not_take_is_found(tmp_path: Path, settings: str, finding: str) -> None:
    assert complaints(tmp_path, HOSTS, catalogue(settings)) == [f"models.yaml:2 {finding}"]


def test_where_nothing_is_near_all_that_it_takes_are_listed(tmp_path: Path) -> None:
    (found,) = complaints(tmp_path, HOSTS, catalogue("tool_call_parser: zzzzzz"))

    assert " | there are `apertus`, `beam`, " in found


def test_a_newer_image_may_take_more_than_is_known_here(tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS, catalogue("tool_call_parser: hermse", "vllm/vllm-openai:v0.34.0")).root

    assert [finding.severity for finding in load_with_warnings(root, "test")[1]] == ["warning"]
