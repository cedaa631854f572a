"""A text-to-speech server with OpenAI's `/v1/audio/speech` around espeak-ng; it answers with a WAV file.

Standard library only; the lab's image runs it as it is.
"""

import argparse
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import wave
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_WORDS_PER_MINUTE = 175
_LONGEST = 4096
_VOICES = {"alloy": "en-us", "echo": "en-gb", "fable": "en-gb-scotland", "nova": "en-us", "onyx": "en-gb"}
"""OpenAI's names for voices; any other name is one of espeak-ng's."""


class RequestError(Exception):
    """A request that is answered with an error of OpenAI's form."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


def speak(text: str, voice: str, speed: float) -> bytes:
    """A WAV file of the spoken text."""
    command = [
        "espeak-ng",
        "--stdout",
        "-v",
        _VOICES.get(voice, voice),
        "-s",
        str(round(_WORDS_PER_MINUTE * speed)),
    ]
    spoken = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    if spoken.returncode or not spoken.stdout:
        raise RequestError(f"espeak-ng knows no voice `{voice}`", "voice")
    return _with_true_length(spoken.stdout)


def _with_true_length(streamed: bytes) -> bytes:
    """The same sound with its length in the header, which espeak-ng cannot know when it writes to a pipe."""
    whole = io.BytesIO()
    with wave.open(io.BytesIO(streamed), "rb") as source, wave.open(whole, "wb") as target:
        target.setnchannels(source.getnchannels())
        target.setsampwidth(source.getsampwidth())
        target.setframerate(source.getframerate())
        start = streamed.index(b"data") + 8
        target.writeframes(streamed[start:])
    return whole.getvalue()


def wanted(content: bytes) -> tuple[str, str, float]:
    """Text, voice and speed of a request."""
    try:
        asked = json.loads(content)
    except ValueError as error:
        raise RequestError(f"not JSON: {error}") from error
    if not isinstance(asked, dict):
        raise RequestError("not a JSON object")
    text, voice, speed = asked.get("input"), asked.get("voice", "alloy"), asked.get("speed", 1.0)
    if not isinstance(text, str) or not text.strip() or len(text) > _LONGEST:
        raise RequestError(f"`input` must be 1 to {_LONGEST} characters of text", "input")
    if not isinstance(voice, str) or not voice or voice.startswith("-"):
        raise RequestError("`voice` must be the name of a voice", "voice")
    if asked.get("response_format", "wav") != "wav":
        raise RequestError("`response_format` can only be `wav`", "response_format")
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0.25 <= speed <= 4:
        raise RequestError("`speed` must be from 0.25 to 4", "speed")
    return text, voice, float(speed)


class SpeechServer(ThreadingHTTPServer):
    """The server and the name of what it serves."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, host: str, port: int, model: str) -> None:
        self.model = model
        super().__init__((host, port), Handler)

    def end(self, *_: object) -> None:
        """Stop listening; what is being answered is answered."""
        threading.Thread(target=self.shutdown).start()


class Handler(BaseHTTPRequestHandler):
    """One client."""

    protocol_version = "HTTP/1.1"
    server: SpeechServer

    def do_GET(self) -> None:
        """Health and models."""
        if self.path == "/health":
            self._send(200, b"", "text/plain")
        elif self.path == "/v1/models":
            self._json(200, {"object": "list", "data": [{"id": self.server.model, "object": "model"}]})
        else:
            self._json(404, _error("Not Found", None))

    def do_POST(self) -> None:
        """Speech."""
        content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path != "/v1/audio/speech":
            self._json(404, _error("Not Found", None))
            return
        try:
            self._send(200, speak(*wanted(content)), "audio/wav")
        except RequestError as error:
            self._json(400, _error(str(error), error.parameter))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log a line to the container's log."""
        sys.stderr.write(f"{self.client_address[0]} {format % args}\n")

    def _json(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Replica", socket.gethostname())
        self.end_headers()
        self.wfile.write(content)


def _error(message: str, parameter: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": parameter, "code": None}}


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104
    parser.add_argument("--port", type=int, default=8880)
    parser.add_argument("--model", default="espeak-ng")
    options = parser.parse_args()
    server = SpeechServer(options.host, options.port, options.model)
    signal.signal(signal.SIGTERM, server.end)
    sys.stderr.write(f"{options.model} at http://{options.host}:{server.server_port}\n")
    server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
