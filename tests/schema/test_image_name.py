from pathlib import Path

import pytest

from stackctl.schema.load import load_with_warnings
from tests.inventory import project

HOSTS = """\
hosts:
  g:
    address: 10.0.0.12
    roles: [gateway, models]
    gpus: {a: {uuid: GPU-00000000-0000-4000-8000-000000000001, id: "10de:2684"}}
"""


@pytest.mark.parametrize(
    ("image", "device", "warnings"),
    [
        ("kokoro-fastapi-cpu:0.3.0", "cpu", []),
        ("kokoro-fastapi-gpu:0.3.0", "a", []),
        ("cpu/speech:1", "a", []),
        (
            "text-embeddings-inference:cpu-1.9",
            "a",
            ["`x` is placed on GPUs, and its image `text-embeddings-inference:cpu-1.9` is one for CPUs"],
        ),
        (
            "speaches:0.9-cuda-12.6.3",
            "cpu",
            ["`x` is placed on CPUs, and its image `speaches:0.9-cuda-12.6.3` is one for GPUs"],
        ),
    ],
)
def test_an_image_on_a_device_that_it_was_not_made_for_is_told(
    tmp_path: Path, image: str, device: str, warnings: list[str]
) -> None:
    catalogue = f"models: {{x: {{server: custom, image: '{image}', port: 80, api: [speech]}}}}"
    text = f"{HOSTS}placements: {{x: [{{host: g, devices: [{device}]}}]}}"

    found = load_with_warnings(project(tmp_path, text, catalogue).root, "test")[1]

    assert [(item.what, item.severity) for item in found] == [(what, "warning") for what in warnings]
