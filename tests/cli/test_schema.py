import json

import pytest

from tests.cli.program import stackctl

Capsys = pytest.CaptureFixture[str]


def test_the_schema_of_an_environment_carries_the_manual(capsys: Capsys) -> None:
    found = json.loads(stackctl(capsys, "schema").out)

    assert found["properties"]["placements"]["description"] == "Replicas by model of the catalogue."
    assert found["additionalProperties"] is False
    assert "models" not in found["properties"]


def test_names_that_fit_no_pattern_are_refused_by_the_schema_too(capsys: Capsys) -> None:
    found = json.loads(stackctl(capsys, "schema").out)

    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["properties"]["hosts"]["additionalProperties"] is False
    assert found["$defs"]["Docker"]["properties"]["registries"]["additionalProperties"] is False


def test_the_catalogue_has_a_schema_of_its_own(capsys: Capsys) -> None:
    found = json.loads(stackctl(capsys, "schema", "--catalogue").out)

    assert list(found["properties"]) == ["models"]
    assert found["$defs"]["Vllm"]["properties"]["server"]["const"] == "vllm"
