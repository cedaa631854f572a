import http.client
import io
import json
import threading
import wave
from collections.abc import Iterator

import pytest

from stackctl.lab.images.tts import SpeechServer


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = SpeechServer("127.0.0.1", 0, "speak")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def speech(address: str, **asked: object) -> tuple[int, bytes]:
    return send(address, "POST", "/v1/audio/speech", json.dumps(asked))


def send(address: str, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def seconds(sound: bytes) -> float:
    with wave.open(io.BytesIO(sound)) as file:
        return float(file.getnframes() / file.getframerate())


def test_text_becomes_a_wav_file_of_its_true_length(address: str) -> None:
    status, sound = speech(address, model="speak", input="The quick brown fox.", voice="alloy")

    assert status == 200
    assert 0.5 < seconds(sound) < 5
    assert len(sound) == int.from_bytes(sound[4:8], "little") + 8


def test_twice_the_speed_takes_less_time(address: str) -> None:
    slow, fast = (
        seconds(speech(address, model="speak", input="One, two, three, four, five.", speed=speed)[1])
        for speed in (1.0, 2.0)
    )

    assert fast < 0.75 * slow


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ({}, "input"),
        ({"input": " "}, "input"),
        ({"input": "x" * 4097}, "input"),
        ({"input": "hi", "voice": "nobody"}, "voice"),
        ({"input": "hi", "voice": "--help"}, "voice"),
        ({"input": "hi", "response_format": "mp3"}, "response_format"),
        ({"input": "hi", "speed": 9}, "speed"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_by_parameter(
    address: str, asked: dict[str, object], parameter: str
) -> None:
    status, text = speech(address, model="speak", **asked)

    assert (status, json.loads(text)["error"]["param"]) == (400, parameter)


def test_it_is_healthy_and_lists_its_model(address: str) -> None:
    models = json.loads(send(address, "GET", "/v1/models")[1])

    assert send(address, "GET", "/health") == (200, b"")
    assert [model["id"] for model in models["data"]] == ["speak"]
