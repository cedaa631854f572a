"""What a model streams back, as the operator reads it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.program import Ended, stackctl
from tests.engine.sshd import serving
from tests.inventory import project

Capsys = pytest.CaptureFixture[str]


@contextmanager
def gateway(stream: bytes) -> Iterator[int]:
    """The port of a gateway that answers everything with `stream`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(stream)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.timeout = 20
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield server.server_port
        thread.join()


def asked(capsys: Capsys, tmp_path: Path, stream: bytes) -> Ended:
    with gateway(stream) as port:
        environment = f"gateway: {{port: {port}}}\nhosts:\n  edge: {{address: 127.0.0.1, roles: [gateway]}}\n"
        return stackctl(capsys, "ask", "test", "chat", "hello", cwd=project(tmp_path, environment).root)


def test_comments_that_keep_a_stream_open_are_not_part_of_the_answer(capsys: Capsys, tmp_path: Path) -> None:
    stream = b""": ping

event: message
data: {"choices": [{"delta": {"content": "Hel"}}]}

data:{"choices": [{"delta": {"content": "lo\\u001b[2J"}}]}

data: [DONE]
"""

    assert asked(capsys, tmp_path, stream) == Ended(0, "Hello\N{REPLACEMENT CHARACTER}[2J\n", "")


def test_a_gateway_in_the_mesh_is_asked_through_the_ssh_server_of_its_host(
    capsys: Capsys, tmp_path: Path
) -> None:
    stream = b'data: {"choices": [{"delta": {"content": "Hello"}}]}\n'
    with serving(tmp_path / "sshd") as sshd, gateway(stream) as port:
        environment = f"""
gateway: {{port: {port}}}
network: {{mesh: {{subnet: 127.0.0.0/8}}}}
hosts:
  edge:
    address: 192.0.2.1
    mesh: {{address: 127.0.0.1}}
    roles: [gateway]
    ssh:
      address: 127.0.0.1
      port: {sshd.port}
      user: root
      identity: {sshd.folder}/user
      host_keys: ["{sshd.known_hosts_line.split(" ", 1)[1].strip()}"]
"""
        ended = stackctl(capsys, "ask", "test", "chat", "hello", cwd=project(tmp_path, environment).root)

    assert ended == Ended(0, "Hello\n", "")


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (b"data: <html>\n", "the model sent what is not JSON: <html>"),
        (b'data: {"error": "out of memory"}\n', "the model ended the stream: out of memory"),
        (b'data: {"error": {"message": "overloaded"}}\n', "the model ended the stream: overloaded"),
    ],
)
def test_a_stream_that_goes_wrong_is_one_finding(
    capsys: Capsys, tmp_path: Path, stream: bytes, why: str
) -> None:
    ended = asked(capsys, tmp_path, stream)

    assert ended.code == 1
    assert f"/v1/chat/completions  no answer: {why}\n" in ended.err
