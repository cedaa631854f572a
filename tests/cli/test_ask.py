"""What a model streams back, as the operator reads it."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.program import Ended, stackctl
from tests.engine.sshd import Sshd, serving
from tests.gateway.certificate import Certificate, certificate
from tests.inventory import project

EDGE = "hosts:\n  edge: {address: 127.0.0.1, roles: [gateway]}\n"
Capsys = pytest.CaptureFixture[str]


class Quiet(HTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that trusts nobody is nothing to report."""


@contextmanager
def gateway(
    stream: bytes, own: Certificate | None = None, told: list[str | None] | None = None
) -> Iterator[int]:
    """The port of a gateway that answers everything with `stream`; what proves its clients goes to `told`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if told is not None:
                told.append(self.headers["Authorization"])
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(stream)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with Quiet(("127.0.0.1", 0), Handler) as server:
        server.timeout = 20
        if own is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(own.file, own.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield server.server_port
        thread.join()


def asked(capsys: Capsys, tmp_path: Path, stream: bytes) -> Ended:
    with gateway(stream) as port:
        environment = f"gateway: {{port: {port}}}\n{EDGE}"
        return stackctl(capsys, "ask", "test", "chat", "hello", cwd=project(tmp_path, environment).root)


def test_comments_that_keep_a_stream_open_are_not_part_of_the_answer(capsys: Capsys, tmp_path: Path) -> None:
    stream = b""": ping

event: message
data: {"choices": [{"delta": {"content": "Hel"}}]}

data:{"choices": [{"delta": {"content": "lo\\u001b[2J"}}]}

data: [DONE]
"""

    assert asked(capsys, tmp_path, stream) == Ended(0, "Hello\N{REPLACEMENT CHARACTER}[2J\n", "")


def in_the_mesh(sshd: Sshd) -> str:
    return f"""
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


def test_a_gateway_in_the_mesh_is_asked_through_the_ssh_server_of_its_host(
    capsys: Capsys, tmp_path: Path
) -> None:
    stream = b'data: {"choices": [{"delta": {"content": "Hello"}}]}\n'
    with serving(tmp_path / "sshd") as sshd, gateway(stream) as port:
        environment = f"gateway: {{port: {port}}}\n{in_the_mesh(sshd)}"
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


HELLO = b'data: {"choices": [{"delta": {"content": "Hello"}}]}\n'
OWN = "sk-4d1c0f7a9b3e2855"
OTHER = "sk-99ab3e0d17c24f68"


def asked_with_keys(
    capsys: Capsys, tmp_path: Path, *words: str, own: str = OWN
) -> tuple[Ended, list[str | None]]:
    """How `stackctl ask` ended, and what it proved itself with."""
    (tmp_path / "own").write_text(own)
    (tmp_path / "other").write_text(OTHER)
    keys = f"""{{
  a-hashed: {{sha256: {"0" * 64}}},
  b-other: {{secret: "file:{tmp_path}/other", models: [speak]}},
  c-own: {{secret: "file:{tmp_path}/own", models: [chat]}}}}"""
    told: list[str | None] = []
    with gateway(HELLO, told=told) as port:
        environment = f"gateway: {{port: {port}, keys: {keys}}}\n{EDGE}"
        ended = stackctl(capsys, "ask", "test", "chat", "hi", *words, cwd=project(tmp_path, environment).root)
        if not told:
            socket.create_connection(("127.0.0.1", port)).close()
    return ended, told


def test_the_first_key_that_may_use_the_model_is_shown_to_the_gateway(capsys: Capsys, tmp_path: Path) -> None:
    assert asked_with_keys(capsys, tmp_path) == (Ended(0, "Hello\n", ""), [f"Bearer {OWN}"])


def test_another_key_can_be_named(capsys: Capsys, tmp_path: Path) -> None:
    assert asked_with_keys(capsys, tmp_path, "--key", "b-other")[1] == [f"Bearer {OTHER}"]


@pytest.mark.parametrize(
    ("name", "own", "why"),
    [
        ("c-onw", OWN, "--key  `c-onw` is not one of `gateway.keys`\n  hint: did you mean `c-own`?"),
        ("a-hashed", OWN, "inventory/test.yaml  `a-hashed` is known by its `sha256` alone"),
        ("c-own", "", "cannot be read: it is empty"),
        ("c-own", f"{OWN}\n{OWN}", "cannot be read: it holds a quote, a backslash or a line break"),
    ],
    ids=["unknown", "hash alone", "empty", "two lines"],
)
def test_a_key_that_cannot_be_shown_is_a_finding(
    capsys: Capsys, tmp_path: Path, name: str, own: str, why: str
) -> None:
    ended, told = asked_with_keys(capsys, tmp_path, "--key", name, own=own)

    assert (ended.code, told) == (2, [])
    assert why in ended.err
    assert OWN not in ended.err


def secured(port: int, own: Certificate, *, trusted: Path) -> str:
    files = f'certificate: "file:{own.file}", key: "file:{own.key}", ca: "file:{trusted}"'
    return f"gateway: {{port: {port}, tls: {{{files}, name: gw.test}}}}\n"


def test_a_gateway_with_tls_proves_itself_by_the_authority_of_the_inventory(
    capsys: Capsys, tmp_path: Path
) -> None:
    own, other = (certificate(tmp_path, name, "DNS:gw.test") for name in ("own", "other"))
    ended = []
    for trusted in (own, other):
        (tmp_path / trusted.file.stem).mkdir()
        with gateway(HELLO, own) as port:
            root = project(tmp_path / trusted.file.stem, secured(port, own, trusted=trusted.file) + EDGE).root
            ended.append(stackctl(capsys, "ask", "test", "chat", "hi", cwd=root))

    assert ended[0] == Ended(0, "Hello\n", "")
    assert ended[1].code == 1
    assert "https://gw.test" in ended[1].err
    assert "certificate verify failed" in ended[1].err


def test_a_gateway_with_tls_in_the_mesh_is_asked_through_its_host_as_well(
    capsys: Capsys, tmp_path: Path
) -> None:
    own = certificate(tmp_path, alternative="DNS:gw.test")
    with serving(tmp_path / "sshd") as sshd, gateway(HELLO, own) as port:
        environment = f"{secured(port, own, trusted=own.file)}{in_the_mesh(sshd)}"
        ended = stackctl(capsys, "ask", "test", "chat", "hello", cwd=project(tmp_path, environment).root)

    assert ended == Ended(0, "Hello\n", "")
