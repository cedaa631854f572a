"""A forward proxy for apt that keeps what never changes: a package is downloaded once for all hosts."""

import hashlib
import http.client
import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase, BufferedRandom
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

_CHUNK = 1 << 16
_REDIRECTS = 4
_TIMEOUT = 60
_CHECKSUMS = {"SHA256": "sha256", "SHA512": "sha512", "MD5Sum": "md5", "SHA1": "sha1"}


class UpstreamError(Exception):
    """The mirror could not be asked, or its answer was cut short."""


@dataclass(frozen=True)
class Upstream:
    """Whom the proxy may ask, and how."""

    schemes: Mapping[str, str]
    """http or https by host, as in `mirror.example` or `mirror.example:8080`."""
    proxy: str | None = None

    def get(self, address: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """The mirror's answer to a GET; redirects are followed, as apt on this machine would."""
        url = address
        for _ in range(_REDIRECTS):
            try:
                answer = self._ask(url, headers)
            except (OSError, http.client.HTTPException) as error:
                raise UpstreamError(str(error)) from error
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            url = urljoin(url, answer.headers["Location"])
        raise UpstreamError(f"{address} redirects in circles")

    def _ask(self, url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        scheme = self.schemes.get(parts.netloc, parts.scheme)
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        if self.proxy:
            by = urlsplit(self.proxy).netloc
            connection = kind(by, timeout=_TIMEOUT)
            if scheme == "https":
                connection.set_tunnel(parts.netloc)
            else:
                target = url
        else:
            connection = kind(parts.netloc, timeout=_TIMEOUT)
        connection.request("GET", target, headers={**headers, "User-Agent": "stackctl-lab"})
        return connection.getresponse()


@dataclass
class Store:
    """Files that never change under their name, by host and path."""

    directory: Path
    _locks: defaultdict[Path, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def place(self, host: str, path: str) -> Path:
        """Where the answer to this request is kept."""
        return self.directory / host / path.lstrip("/")

    def lock(self, place: Path) -> threading.Lock:
        """Held while the file is being fetched; others wait and then find it."""
        return self._locks[place]

    def keep(self, place: Path, content: BufferedRandom) -> None:
        """Give a finished file its name; until then nothing of it can be seen."""
        content.flush()
        os.fsync(content.fileno())
        with suppress(FileExistsError):  # another lab's proxy was quicker, with the same bytes
            # the unused directory descriptor makes Python call linkat(2), which can follow the link
            os.link(
                f"/proc/self/fd/{content.fileno()}", place, src_dir_fd=content.fileno(), follow_symlinks=True
            )

    def blank(self, place: Path) -> BufferedRandom:
        """A file without a name: it vanishes with this process unless it is kept."""
        place.parent.mkdir(parents=True, exist_ok=True)
        return os.fdopen(os.open(place.parent, os.O_TMPFILE | os.O_RDWR, 0o644), "w+b")


def never_changes(path: str) -> bool:
    """Whether what a mirror has under this path is the same forever."""
    return "/by-hash/" in path or (path.endswith((".deb", ".udeb")) and "/pool/" in path)


def checksum_of(path: str) -> tuple[str, str] | None:
    """The algorithm and digest that a by-hash path promises."""
    parts = path.rsplit("/", 3)
    if len(parts) == 4 and parts[1] == "by-hash" and parts[2] in _CHECKSUMS:
        return _CHECKSUMS[parts[2]], parts[3]
    return None


class PackageProxy(BaseHTTPRequestHandler):
    """Answers one client; `store` and `upstream` are set on a subclass."""

    protocol_version = "HTTP/1.1"
    store: Store
    upstream: Upstream

    def do_CONNECT(self) -> None:
        """Refuse tunnels: what passes through one cannot be kept, nor judged."""
        self._refuse(HTTPStatus.FORBIDDEN, "no tunnels; use http:// sources")

    def do_HEAD(self) -> None:
        """Answer a HEAD as the mirror does."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer from the store, or from the mirror."""
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        if parts.scheme != "http" or parts.netloc not in self.upstream.schemes:
            self._refuse(
                HTTPStatus.FORBIDDEN, f"{parts.netloc or self.path} is none of this machine's mirrors"
            )
        elif ".." in path.split("/") or "\0" in path:
            self._refuse(HTTPStatus.BAD_REQUEST, "no such path")
        elif self.command == "GET" and never_changes(path):
            self._answer_lasting(self.store.place(parts.netloc, path))
        else:
            self._answer_passing()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: apt reports for itself."""

    def _answer_lasting(self, place: Path) -> None:
        if not place.exists():
            with self.store.lock(place):
                if not place.exists():
                    self._fetch(place)
                    return
        with place.open("rb") as content:
            self._head(HTTPStatus.OK, os.fstat(content.fileno()).st_size)
            shutil.copyfileobj(content, self.wfile, _CHUNK)

    def _answer_passing(self) -> None:
        wanted = {name: self.headers[name] for name in ("If-Modified-Since", "Range") if name in self.headers}
        try:
            answer = self.upstream.get(self.path, wanted)
        except UpstreamError as error:
            self._refuse(HTTPStatus.BAD_GATEWAY, str(error))
            return
        with answer:
            self._relay_head(answer)
            if self.command == "GET":
                shutil.copyfileobj(answer, self.wfile, _CHUNK)

    def _fetch(self, place: Path) -> None:
        try:
            answer = self.upstream.get(self.path, {})
        except UpstreamError as error:
            self._refuse(HTTPStatus.BAD_GATEWAY, str(error))
            return
        with answer, self.store.blank(place) as content:
            self._relay_head(answer)
            client: BufferedIOBase | None = self.wfile
            while chunk := _read(answer):
                content.write(chunk)
                client = _pass_on(client, chunk)
            if client is None:
                self.close_connection = True
            if answer.status == HTTPStatus.OK and _is_whole(answer, content, self.path):
                self.store.keep(place, content)
            elif answer.status == HTTPStatus.OK:
                self.close_connection = True

    def _relay_head(self, answer: http.client.HTTPResponse) -> None:
        length = answer.headers["Content-Length"]
        if length is None and answer.status != HTTPStatus.NOT_MODIFIED:
            self.close_connection = True
        kept = ("Last-Modified", "Content-Range", "Content-Type")
        extra = {name: answer.headers[name] for name in kept if name in answer.headers}
        self._head(HTTPStatus(answer.status), None if length is None else int(length), extra)

    def _head(self, status: HTTPStatus, length: int | None, extra: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        body = f"{reason}\n".encode()
        self._head(status, len(body), {"Content-Type": "text/plain"})
        if self.command != "HEAD":
            self.wfile.write(body)


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read1(_CHUNK)
    except (OSError, http.client.HTTPException):
        return b""


def _pass_on(client: BufferedIOBase | None, chunk: bytes) -> BufferedIOBase | None:
    """The client, unless it has gone; the file is then fetched to its end all the same."""
    with suppress(OSError):
        if client:
            client.write(chunk)
            return client
    return None


def _is_whole(answer: http.client.HTTPResponse, content: BufferedRandom, path: str) -> bool:
    size = content.seek(0, os.SEEK_END)
    if answer.headers["Content-Length"] not in (None, str(size)):
        return False
    promised = checksum_of(unquote(urlsplit(path).path))
    content.seek(0)
    return promised is None or hashlib.file_digest(content, promised[0]).hexdigest() == promised[1]
