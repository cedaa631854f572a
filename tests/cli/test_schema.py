import json

import pytest

from tests.cli.program import stackctl

Capsys = pytest.CaptureFixture[str]


def test_the_schema_of_an_environment_carries_the_manual(capsys: Capsys) -> None:
    found = json.loads(stackctl(capsys, "schema").out)

    assert found["properties"]["placements"]["description"] == "Replicas by model of the catalogue."
    assert found["additionalProperties"] is False
    assert "models" not in found["properties"]


def test_the_catalogue_has_a_schema_of_its_own(capsys: Capsys) -> None:
    found = json.loads(stackctl(capsys, "schema", "--catalogue").out)

    assert list(found["properties"]) == ["models"]
    assert found["$defs"]["Vllm"]["properties"]["server"]["const"] == "vllm"
