from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from stackctl.core import form


def accepts(kind: Any, text: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(text, strict=True)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (form.HostName, ["gpu1", "a-b", "a"], ["", "1a", "A", "a_b", "-a", "a-", "a" * 64, "a\n", "a.b"]),
        (form.DomainName, ["a", "a.b", "stack.internal", "1.2"], ["", "a.", ".a", "a..b", "A.b", "a b"]),
        (form.ModelName, ["chat", "qwen3-32b", "a.b_c"], ["", "a/b", "A", "a b", ".a", "a."]),
        (form.AbsolutePath, ["/srv/weights", "/a"], ["", "/", "a/b", "/a/../b", "/a/", "/a b", "/$x"]),
        (
            form.ImageName,
            ["a:1", "vllm/vllm-openai:v0.33.0", "registry.lab:5000/lab/tts:1", "docker.io/a:1"],
            ["a", "a:latest", "A:1", "a:", "a:1 ", "http://a:1", "registry.lab:5000/tts"],
        ),
        (form.UrlPath, ["/", "/health", "/v1/x-y"], ["", "health", "/a?b", "/a b"]),
        (form.Registry, ["registry.lab:5000", "docker.io"], ["https://a", "a/b", ""]),
    ],
)
def test_forms_accept_and_refuse(kind: Any, good: list[str], bad: list[str]) -> None:
    assert [text for text in good if not accepts(kind, text)] == []
    assert [text for text in bad if accepts(kind, text)] == []


def test_editors_judge_by_the_same_pattern() -> None:
    kind = Annotated[str, form.Form("[a-z]+", "letters")]

    assert TypeAdapter(kind).json_schema() == {"type": "string", "pattern": "^(?:[a-z]+)$"}


def test_a_number_may_stand_for_text() -> None:
    assert TypeAdapter(form.TextOrNumber).validate_json("10", strict=True) == "10"
