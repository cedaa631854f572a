"""The models' URLs by HTTPS."""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.capabilities.gateway import CERTIFICATE_CHECK, CERTIFICATE_FILE
from tests.gateway.certificate import Certificate, certificate
from tests.gateway.haproxy import ADDRESS, Gateway, running
from tests.gateway.stub import stub


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def gateway(own: Certificate) -> Iterator[Gateway]:
    settings = f'tls: {{certificate: "file:{own.file}", key: "file:{own.key}"}}, max_connections: 16'
    with stub("127.0.0.2") as chat, running(settings, trusting(own), chat=[chat]) as started:
        yield started


def trusting(own: Certificate, *protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(own.file))
    context.set_alpn_protocols(protocols)
    return context


def test_models_are_reached_by_https_and_metrics_as_before(gateway: Gateway) -> None:
    assert gateway.post("/v1/chat/completions", {"model": "chat"}).status == 200
    assert gateway.get("/metrics", port=gateway.metrics_port).status == 200


def test_http_without_tls_is_not_answered(gateway: Gateway) -> None:
    with socket.create_connection((ADDRESS, gateway.port), 10) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")

        assert not plain.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("offered", "chosen"), [(("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1"), ((), None)]
)
def test_a_client_that_can_is_served_by_http_2(
    gateway: Gateway, own: Certificate, offered: tuple[str, ...], chosen: str | None
) -> None:
    context = trusting(own, *offered)
    with (
        socket.create_connection((ADDRESS, gateway.port), 10) as plain,
        context.wrap_socket(plain, server_hostname=ADDRESS) as secured,
    ):
        assert secured.selected_alpn_protocol() == chosen
        assert secured.version() in {"TLSv1.2", "TLSv1.3"}


def test_tls_older_than_1_2_is_refused(gateway: Gateway, own: Certificate) -> None:
    words = ["openssl", "s_client", "-connect", f"{ADDRESS}:{gateway.port}", "-cipher", "ALL:@SECLEVEL=0"]
    asked = [*words, "-CAfile", str(own.file)]

    old = subprocess.run([*asked, "-tls1_1"], check=False, capture_output=True, stdin=subprocess.DEVNULL)
    new = subprocess.run([*asked, "-tls1_2"], check=False, capture_output=True, stdin=subprocess.DEVNULL)

    assert b"alert protocol version" in old.stderr
    assert new.returncode == 0


def test_a_certificate_is_refused_before_it_replaces_the_old_one(tmp_path: Path, own: Certificate) -> None:
    other = certificate(tmp_path, "other")

    assert judged(tmp_path, own.file.read_text() + own.key.read_text()) == "valid"
    assert "private key and certificate" in judged(tmp_path, own.file.read_text() + other.key.read_text())
    assert "No Private Key found" in judged(tmp_path, own.file.read_text())
    assert "unable to load certificate" in judged(tmp_path, "hunter2")


def judged(folder: Path, content: str) -> str:
    staged = folder / ".stackctl.x"
    staged.write_text(content)
    words = [str(staged) if word == CERTIFICATE_FILE else word for word in CERTIFICATE_CHECK]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    return "valid" if done.returncode == 0 else done.stderr
