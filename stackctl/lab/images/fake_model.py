"""A model server that answers like vLLM, at once and with no model: same paths, flags and metric names.

Standard library only; the lab's image runs it as it is. Knobs, by environment: FAKE_DELAY seconds before each
token, FAKE_UNHEALTHY makes /health fail, FAKE_FAIL_START exits with log lines before it listens.
"""

import argparse
import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stackctl.lab.images.fake_metrics import Meter


class RequestError(Exception):
    """A request that is answered with an error of OpenAI's form."""

    def __init__(self, status: int, message: str, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


class ModelServer(ThreadingHTTPServer):
    """The server and all it shares between requests."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.names: list[str] = options.served_model_name or [options.model]
        self.meter = Meter(self.names[0])
        self.delay = float(os.environ.get("FAKE_DELAY", "0"))
        self.draining = False
        super().__init__((options.host, options.port), Handler)

    def drain(self, *_: object) -> None:
        """Refuse new work as vLLM does: over HTTP 500, while /health goes on answering 200."""
        self.draining = True
        threading.Thread(target=self._end_when_idle, daemon=True).start()

    def _end_when_idle(self) -> None:
        deadline = time.monotonic() + self.options.shutdown_timeout
        while self.meter.values["num_requests_running", ""] > 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        self.shutdown()


class Handler(BaseHTTPRequestHandler):
    """One client."""

    protocol_version = "HTTP/1.1"
    server: ModelServer

    def do_GET(self) -> None:
        """Health, models and metrics."""
        if self.path == "/health":
            self._send(503 if os.environ.get("FAKE_UNHEALTHY") else 200, b"", "text/plain")
        elif self.path == "/metrics":
            self._send(200, self.server.meter.exposition().encode(), "text/plain; version=0.0.4")
        elif self.path == "/v1/models":
            models = [
                {
                    "id": name,
                    "object": "model",
                    "owned_by": "vllm",
                    "max_model_len": self.server.options.max_model_len,
                }
                for name in self.server.names
            ]
            self._json(200, {"object": "list", "data": models})
        else:
            self._json(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        """Chat, completions and embeddings."""
        content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        meter = self.server.meter
        meter.add("num_requests_running")
        try:
            self._serve(content)
        except RequestError as error:
            self._json(error.status, _error(error.status, str(error), error.kind))
        except ConnectionError:
            meter.add("request_success", label="abort")
            self.close_connection = True
        finally:
            meter.add("num_requests_running", -1)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log as vLLM's web server does."""
        sys.stderr.write(f"INFO:     {self.client_address[0]} - {format % args}\n")

    def _serve(self, content: bytes) -> None:
        if self.server.draining:
            raise RequestError(500, "cannot schedule new futures after shutdown", "InternalServerError")
        key = self.server.options.api_key
        if key and self.headers.get("Authorization") != f"Bearer {key}":
            raise RequestError(401, "Unauthorized", "AuthenticationError")
        paths = {"/v1/chat/completions": "chat", "/v1/completions": "text", "/v1/embeddings": "embedding"}
        if self.path not in paths:
            raise RequestError(404, "Not Found", "NotFoundError")
        asked = self._parse(content)
        if paths[self.path] == "embedding":
            self._json(200, _embeddings(asked))
        else:
            self._generate(asked, chat=paths[self.path] == "chat")

    def _parse(self, content: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(content)
        except ValueError as error:
            raise RequestError(400, f"not JSON: {error}") from error
        if not isinstance(asked, dict):
            raise RequestError(400, "not a JSON object")
        if asked.setdefault("model", self.server.names[0]) not in self.server.names:
            raise RequestError(404, f"The model `{asked['model']}` does not exist.", "NotFoundError")
        return asked

    def _generate(self, asked: dict[str, Any], *, chat: bool) -> None:
        prompt = _prompt(asked, chat=chat)
        words = f"echo of {len(prompt)} words: {' '.join(prompt)}".split()
        limit = asked.get("max_completion_tokens") or asked.get("max_tokens") or len(words)
        wanted, reason = words[:limit], "stop" if limit >= len(words) else "length"
        usage = {
            "prompt_tokens": len(prompt),
            "completion_tokens": len(wanted),
            "total_tokens": len(prompt) + len(wanted),
        }
        answer = _Answer(asked["model"], chat, reason, usage)
        begun = time.monotonic()
        if asked.get("stream"):
            with_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
            self._stream(answer.chunks(self._tokens(wanted), with_usage=with_usage))
        else:
            text = "".join(self._tokens(wanted))
            self._json(200, answer.whole(text))
        self._account(usage, reason, time.monotonic() - begun)

    def _tokens(self, words: list[str]) -> Iterator[str]:
        for number, word in enumerate(words):
            time.sleep(self.server.delay)
            yield word if number == 0 else f" {word}"

    def _account(self, usage: dict[str, int], reason: str, seconds: float) -> None:
        meter, asked, given = self.server.meter, usage["prompt_tokens"], usage["completion_tokens"]
        meter.add("prompt_tokens", asked)
        meter.add("prompt_tokens_by_source", asked, "local_compute")
        meter.add("generation_tokens", given)
        meter.add("request_success", label=reason)
        delay = self.server.delay
        meter.observe(
            request_prompt_tokens=asked,
            request_generation_tokens=given,
            time_to_first_token_seconds=delay,
            inter_token_latency_seconds=delay,
            e2e_request_latency_seconds=seconds,
            request_queue_time_seconds=0,
            request_inference_time_seconds=seconds,
        )

    def _stream(self, chunks: Iterator[str]) -> None:
        self.close_connection = True
        self._start(200, "text/event-stream", None)
        for chunk in chunks:
            self.wfile.write(f"data: {chunk}\n\n".encode())
            self.wfile.flush()

    def _json(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self._start(status, kind, len(content))
        self.wfile.write(content)

    def _start(self, status: int, kind: str, length: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("X-Replica", socket.gethostname())
        if length is None:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()


@dataclass(frozen=True)
class _Answer:
    model: str
    chat: bool
    reason: str
    usage: dict[str, int]

    def whole(self, text: str) -> dict[str, Any]:
        content = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        choice = {"index": 0, **content, "finish_reason": self.reason}
        return {**self._frame("chat.completion"), "choices": [choice], "usage": self.usage}

    def chunks(self, tokens: Iterator[str], *, with_usage: bool) -> Iterator[str]:
        if self.chat:
            yield self._chunk({"delta": {"role": "assistant", "content": ""}}, None)
        for token in tokens:
            yield self._chunk({"delta": {"content": token}} if self.chat else {"text": token}, None)
        yield self._chunk({"delta": {}} if self.chat else {"text": ""}, self.reason)
        if with_usage:
            yield json.dumps({**self._frame("chat.completion.chunk"), "choices": [], "usage": self.usage})
        yield "[DONE]"

    def _chunk(self, content: dict[str, Any], reason: str | None) -> str:
        choice = {"index": 0, **content, "finish_reason": reason}
        return json.dumps({**self._frame("chat.completion.chunk"), "choices": [choice]})

    def _frame(self, kind: str) -> dict[str, Any]:
        kind = kind if self.chat else "text_completion"
        return {
            "id": f"cmpl-{time.time_ns():x}",
            "object": kind,
            "created": int(time.time()),
            "model": self.model,
        }


def _prompt(asked: dict[str, Any], *, chat: bool) -> list[str]:
    if not chat:
        prompt = asked.get("prompt", "")
        return str(prompt[0] if isinstance(prompt, list) and prompt else prompt).split()
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError(400, "`messages` must be a list of at least one message")
    return str(messages[-1].get("content", "")).split()


def _embeddings(asked: dict[str, Any]) -> dict[str, Any]:
    texts = asked.get("input", "")
    texts = texts if isinstance(texts, list) else [texts]
    data = [
        {"object": "embedding", "index": index, "embedding": [byte / 255 for byte in _hash(str(text))[:16]]}
        for index, text in enumerate(texts)
    ]
    tokens = sum(len(str(text).split()) for text in texts)
    return {
        "object": "list",
        "model": asked["model"],
        "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _error(status: int, message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The part of vLLM's command line that we use; the rest is read over."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("model", nargs="?", default="fake")
    parser.add_argument("--served-model-name", nargs="+")
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max-model-len", default="2048")
    parser.add_argument("--shutdown-timeout", type=float, default=0)
    parser.add_argument("--api-key")
    return parser.parse_known_args(arguments)[0]


def main() -> None:
    """Serve until told to stop."""
    options = parse(sys.argv[1:])
    if os.environ.get("FAKE_FAIL_START"):
        sys.stderr.write(f"INFO:     loading {options.model}\nERROR:    CUDA out of memory (made up)\n")
        sys.exit(1)
    server = ModelServer(options)
    signal.signal(signal.SIGTERM, server.drain)
    sys.stderr.write(f"INFO:     {', '.join(server.names)} at http://{options.host}:{server.server_port}\n")
    server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
