from typing import Any

from stackctl.servers.base import Endpoint
from stackctl.servers.kokoro import Kokoro


def kokoro(**settings: Any) -> Kokoro:
    return Kokoro.model_validate({"server": "kokoro", "image": "kokoro-fastapi-gpu:0.3.0", **settings})


def test_its_image_is_all_that_need_be_said() -> None:
    server = kokoro()

    assert (server.api, server.reads, server.weights) == (("speech",), ("/v1/audio/voices",), None)
    assert server.endpoint() == Endpoint(8880, "/health", None, 4)


def test_its_settings_are_variables() -> None:
    launch = kokoro(default_voice="bf_emma", web_player=True).launch("speak")

    assert launch.command == ()
    assert launch.environment == {"DEFAULT_VOICE": "bf_emma", "ENABLE_WEB_PLAYER": "true"}
