from typing import Any

import pytest
from pydantic import ValidationError

from stackctl.servers.comfyui import Comfyui


def comfyui(**settings: Any) -> Comfyui:
    return Comfyui.model_validate({"server": "comfyui", "image": "comfyui:0.9", **settings})


def test_it_is_started_without_nodes_of_others_and_keeps_everything_in_one_place() -> None:
    assert " ".join(comfyui(vram="lowvram").launch("paint").command) == (
        "python3 main.py --listen 0.0.0.0 --port 8188 --base-directory /comfyui --disable-auto-launch --offline"
        " --disable-all-custom-nodes --max-upload-size 100 --lowvram"
    )


def test_nodes_of_others_are_loaded_by_name_alone() -> None:
    command = comfyui(custom_nodes=("controlnet",)).launch("paint").command

    assert command[command.index("--disable-all-custom-nodes") :][:3] == (
        "--disable-all-custom-nodes",
        "--whitelist-custom-nodes",
        "controlnet",
    )


def test_its_weights_are_among_what_it_keeps_and_it_has_few_rights() -> None:
    launch = comfyui(weights={"path": "comfy"}).launch("paint")

    assert (launch.weights_at, launch.volumes, launch.confined) == (
        "/comfyui/models",
        {"base": "/comfyui"},
        True,
    )


def test_what_manages_it_is_not_among_its_paths() -> None:
    server = comfyui()

    assert not {"/free", "/interrupt", "/history", "/userdata"} & set(server.own_paths)
    assert server.endpoint().health_path == "/system_stats"


@pytest.mark.parametrize("flag", ["--listen", "--base-directory=/", "--whitelist-custom-nodes"])
def test_what_has_a_setting_is_not_an_extra_argument(flag: str) -> None:
    with pytest.raises(ValidationError, match="has a setting"):
        comfyui(extra_args=(flag,))
