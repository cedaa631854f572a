import http.client
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parents[2] / "golden/lab/vllm_metrics.txt"
CHAT = "/v1/chat/completions"
HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "hello there"}]}


@contextmanager
def fake(*flags: str, **knobs: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A server of its own on a free port: its address and process."""
    command = [sys.executable, "-m", "stackctl.lab.images.fake_model", "/weights/tiny", "--port", "0"]
    command += ["--host", "127.0.0.1", "--served-model-name", "tiny", *flags]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={"PYTHONPATH": "."} | knobs
    ) as server:
        assert server.stderr
        address = re.search(r"http://(\S+)", server.stderr.readline())
        assert address
        try:
            yield address[1], server
        finally:
            server.kill()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with fake("--enforce-eager", "--dtype", "bfloat16", "--max-num-seqs", "4") as (address, _):
        yield address


def post(address: str, path: str, body: Any, **headers: str) -> tuple[int, str]:
    with asking(address, "POST", path, body, **headers) as answer:
        return answer.status, answer.read().decode()


def get(address: str, path: str) -> tuple[int, str]:
    with asking(address, "GET", path) as answer:
        return answer.status, answer.read().decode()


@contextmanager
def asking(
    address: str, method: str, path: str, body: Any = None, **headers: str
) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body), headers)
        yield connection.getresponse()
    finally:
        connection.close()


def test_a_chat_is_answered_with_usage(address: str) -> None:
    status, text = post(address, CHAT, HELLO)
    answer = json.loads(text)

    assert status == 200
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "echo of 2 words: hello there"},
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 6, "total_tokens": 8}


def test_an_answer_ends_at_the_limit(address: str) -> None:
    answer = json.loads(post(address, CHAT, {**HELLO, "max_tokens": 2})[1])

    assert (answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"]) == (
        "echo of",
        "length",
    )


def test_a_streamed_chat_ends_with_usage_and_done(address: str) -> None:
    asked = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}

    events = [line.removeprefix("data: ") for line in post(address, CHAT, asked)[1].splitlines() if line]
    chunks = [json.loads(event) for event in events[:-1]]

    assert events[-1] == "[DONE]"
    assert chunks[-1]["usage"]["completion_tokens"] == 6
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]) == (
        "echo of 2 words: hello there"
    )


def test_a_completion_and_an_embedding_are_answered(address: str) -> None:
    completion = json.loads(post(address, "/v1/completions", {"model": "tiny", "prompt": "one two"})[1])
    embedding = json.loads(post(address, "/v1/embeddings", {"model": "tiny", "input": ["a", "b"]})[1])

    assert completion["choices"][0]["text"] == "echo of 2 words: one two"
    assert [len(item["embedding"]) for item in embedding["data"]] == [16, 16]


def test_the_model_is_listed_under_its_served_name(address: str) -> None:
    assert [model["id"] for model in json.loads(get(address, "/v1/models")[1])["data"]] == ["tiny"]


def test_an_unknown_model_is_not_found(address: str) -> None:
    status, text = post(address, CHAT, {**HELLO, "model": "huge"})

    assert (status, json.loads(text)["error"]["message"]) == (404, "The model `huge` does not exist.")


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}"])
def test_a_malformed_request_is_refused(address: str, body: bytes) -> None:
    assert post(address, CHAT, body)[0] == 400


def test_the_metrics_have_the_names_of_the_real_ones(address: str) -> None:
    families = [line for line in get(address, "/metrics")[1].splitlines() if line.startswith("# TYPE vllm:")]

    assert sorted(families) == GOLDEN.read_text().splitlines()


def metrics_when_idle(address: str) -> str:
    """A request is counted as done a moment after its last byte has been sent."""
    for _ in range(100):
        metrics = get(address, "/metrics")[1]
        if 'num_requests_running{engine="0",model_name="tiny"} 0.0' in metrics:
            break
        time.sleep(0.02)
    return metrics


def test_the_metrics_count_what_was_served() -> None:
    with fake() as (address, _):
        post(address, CHAT, HELLO)
        metrics = metrics_when_idle(address)

    assert 'vllm:request_success_total{engine="0",model_name="tiny",finished_reason="stop"} 1.0' in metrics
    assert 'vllm:generation_tokens_total{engine="0",model_name="tiny"} 6.0' in metrics
    assert 'vllm:num_requests_running{engine="0",model_name="tiny"} 0.0' in metrics


def test_a_key_is_asked_for_where_one_is_set() -> None:
    with fake("--api-key", "k") as (address, _):
        assert post(address, CHAT, HELLO)[0] == 401
        assert post(address, CHAT, HELLO, Authorization="Bearer k")[0] == 200


def test_an_unhealthy_one_says_so() -> None:
    with fake(FAKE_UNHEALTHY="1") as (address, _):
        assert get(address, "/health")[0] == 503


def test_one_that_is_to_fail_exits_with_log_lines() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stackctl.lab.images.fake_model", "m"],
        env={"PYTHONPATH": ".", "FAKE_FAIL_START": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "ERROR:    CUDA out of memory (made up)")


def test_while_it_drains_it_finishes_what_it_has_and_refuses_the_rest_as_vllm_does() -> None:
    with fake("--shutdown-timeout", "10", FAKE_DELAY="0.1") as (address, server):
        with asking(address, "POST", CHAT, {**HELLO, "stream": True}) as running:
            running.readline()
            server.send_signal(signal.SIGTERM)
            time.sleep(0.1)

            assert get(address, "/health")[0] == 200
            assert post(address, CHAT, HELLO)[0] == 500
            assert running.read().endswith(b"data: [DONE]\n\n")

        assert server.wait(timeout=5) == 0


def test_without_a_drain_it_ends_at_once() -> None:
    with (
        fake(FAKE_DELAY="5") as (address, server),
        asking(address, "POST", CHAT, {**HELLO, "stream": True}) as running,
    ):
        running.readline()
        server.send_signal(signal.SIGTERM)

        assert server.wait(timeout=3) == 0
        assert not running.read().endswith(b"data: [DONE]\n\n")
