import hashlib
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stackctl.lab.packages import PackageProxy, Store, Upstream

INDEX = b"Package: curl\n"
BY_HASH = f"/debian/dists/trixie/main/by-hash/SHA256/{hashlib.sha256(INDEX).hexdigest()}"
FILES = {
    "/debian/pool/main/c/curl.deb": b"curl" * 50_000,
    "/debian/pool/main/s/short.deb": b"cut short",
    BY_HASH: INDEX,
    BY_HASH[:-4] + "beef": INDEX,
    "/debian/dists/trixie/InRelease": b"Origin: Debian\n",
}


class Mirror(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/debian/pool/moved.deb":
            self.send_response(302)
            self.send_header("Location", "/debian/pool/main/c/curl.deb")
            self.end_headers()
            return
        content = FILES.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"") + 100 * self.path.endswith("short.deb")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        pass


class Proxied:
    """A proxy in front of a mirror, both on loopback."""

    def __init__(self, proxy: int, mirror: int, asked: list[str], store: Path) -> None:
        self.proxy, self.mirror, self.asked, self.store = proxy, f"127.0.0.1:{mirror}", asked, store

    def get(self, path: str, *, host: str | None = None, method: str = "GET") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy, timeout=10)
        try:
            connection.request(method, f"http://{host or self.mirror}{path}")
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def kept(self) -> list[str]:
        root = self.store / self.mirror
        return sorted(f"/{path.relative_to(root)}" for path in root.rglob("*") if path.is_file())


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Proxied]:
    seen: list[str] = []

    class Counting(Mirror):
        asked = seen

    with serving(Counting) as mirror:

        class Proxy(PackageProxy):
            store = Store(tmp_path)
            upstream = Upstream({f"127.0.0.1:{mirror}": "http"})

        with serving(Proxy) as proxy:
            yield Proxied(proxy, mirror, seen, tmp_path)


def test_a_package_is_fetched_once(proxied: Proxied) -> None:
    path = "/debian/pool/main/c/curl.deb"

    answers = [proxied.get(path) for _ in range(3)]

    assert answers == [(200, FILES[path])] * 3
    assert proxied.asked == [path]


def test_a_package_that_many_want_at_once_is_fetched_once(proxied: Proxied) -> None:
    path = "/debian/pool/main/c/curl.deb"
    answers: list[tuple[int, bytes]] = []
    clients = [threading.Thread(target=lambda: answers.append(proxied.get(path))) for _ in range(8)]

    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert answers == [(200, FILES[path])] * 8
    assert proxied.asked == [path]


def test_an_index_by_hash_is_kept(proxied: Proxied) -> None:
    answers = [proxied.get(BY_HASH) for _ in range(2)]

    assert answers == [(200, INDEX)] * 2
    assert proxied.kept() == [BY_HASH]


def test_an_index_that_is_not_what_its_name_promises_is_not_kept(proxied: Proxied) -> None:
    proxied.get(BY_HASH[:-4] + "beef")

    assert proxied.kept() == []


def test_a_package_that_arrives_cut_short_is_not_kept(proxied: Proxied) -> None:
    with pytest.raises(http.client.IncompleteRead):
        proxied.get("/debian/pool/main/s/short.deb")

    assert proxied.kept() == []


def test_what_changes_is_asked_for_every_time(proxied: Proxied) -> None:
    path = "/debian/dists/trixie/InRelease"

    assert [proxied.get(path)[0] for _ in range(2)] == [200, 200]
    assert proxied.asked == [path, path]
    assert proxied.kept() == []


def test_what_is_not_there_is_not_there_and_not_kept(proxied: Proxied) -> None:
    assert proxied.get("/debian/pool/main/n/none.deb") == (404, b"")
    assert proxied.kept() == []


def test_a_redirect_is_followed(proxied: Proxied) -> None:
    assert proxied.get("/debian/pool/moved.deb") == (200, FILES["/debian/pool/main/c/curl.deb"])


def test_a_host_that_is_no_mirror_of_this_machine_is_refused(proxied: Proxied) -> None:
    status, reason = proxied.get("/debian/pool/main/c/curl.deb", host="example.com")

    assert (status, reason) == (403, b"example.com is none of this machine's mirrors\n")
    assert proxied.asked == []


def test_a_tunnel_is_refused(proxied: Proxied) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxied.proxy, timeout=10)
    connection.set_tunnel("example.com", 443)

    with pytest.raises(OSError, match="403"):
        connection.request("GET", "/")
    connection.close()


@pytest.mark.parametrize("path", ["/debian/pool/../../../etc/x.deb", "/debian/pool/%2e%2e/%2e%2e/x.deb"])
def test_a_path_out_of_the_store_is_refused(proxied: Proxied, path: str) -> None:
    assert proxied.get(path)[0] == 400


def test_a_mirror_that_does_not_answer_is_told(tmp_path: Path) -> None:
    class Proxy(PackageProxy):
        store = Store(tmp_path)
        upstream = Upstream({"127.0.0.1:1": "http"})

    with serving(Proxy) as port:
        lonely = Proxied(port, 1, [], tmp_path)

        assert lonely.get("/debian/pool/main/c/curl.deb")[0] == 502
        assert lonely.get("/debian/dists/trixie/InRelease")[0] == 502
