"""A real HAProxy on loopback, with the configuration that a gateway host would get."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

from stackctl.agents import gateway_metrics
from stackctl.capabilities import gateway, load_fleet
from stackctl.core import exporter
from stackctl.core.job import Job
from stackctl.ops import secret
from stackctl.render import jobs
from tests.gateway.stub import Stub
from tests.inventory import project

ADDRESS = "127.0.0.1"
CATALOGUE = """
models:
  chat: {server: custom, image: "a:1", port: 8000, api: [chat, completions]}
  llm: {server: vllm, image: "a:1", weights: {path: w}, api: [chat]}
  embed: {server: custom, image: "a:1", port: 8000, api: [embeddings], max_requests: 4}
  listen: {server: custom, image: "a:1", port: 8000, api: [transcriptions]}
  draw: {server: custom, image: "a:1", port: 8000, paths: [/prompt], reads: [/history, /prompt]}
"""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        assert self.headers["content-type"] == "application/json"
        return f"{self.status} {self.json['error']['message']}"


@dataclass(frozen=True)
class Gateway:
    """A running HAProxy."""

    port: int
    metrics_port: int
    folder: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)
    write: Callable[[str], Path] = field(repr=False)
    trusting: ssl.SSLContext | None = None

    def connect(self, port: int | None = None) -> HTTPConnection:
        if self.trusting is not None and port is None:
            return HTTPSConnection(ADDRESS, self.port, timeout=10, context=self.trusting)
        return HTTPConnection(ADDRESS, port or self.port, timeout=10)

    def get(
        self, path: str, method: str = "GET", port: int | None = None, headers: Mapping[str, str] = {}
    ) -> Answer:
        return self.ask(method, path, None, headers, port)

    def post(self, path: str, body: Any, headers: Mapping[str, str] = {}) -> Answer:
        """A body that is no bytes is sent as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, content, {"Content-Type": "application/json", **headers})

    def ask(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], port: int | None = None
    ) -> Answer:
        connection = self.connect(port)
        try:
            connection.request(method, path, body, dict(headers))
            return read(connection.getresponse())
        finally:
            connection.close()

    def tell(self, command: str) -> str:
        """Send a command to the admin socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "admin.sock"))
            connection.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def become(self, settings: str) -> None:
        """Have other settings, as an apply would."""
        self.write(settings)
        self.reload()

    def reload(self) -> None:
        """Reload, and wait until the new process has taken over."""
        before = self.loaded()
        self.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: self.loaded() > before)

    def loaded(self) -> int:
        """How often the configuration has been loaded."""
        return self.log().count("Loading success")

    def log(self) -> str:
        """All that it has said."""
        return (self.folder / "log").read_text()

    def metrics(self) -> dict[str, float]:
        """The models' metrics, by their names with labels."""
        answer = self.get("/metrics/models", port=self.metrics_port)
        assert answer.status == 200, answer.body
        rows = (line.rpartition(" ") for line in answer.body.decode().splitlines() if line[0] != "#")
        return {name: float(value) for name, _, value in rows}

    @contextmanager
    def exporting(self) -> Iterator[int]:
        """The program that makes the models' metrics runs until the block ends; its process."""
        config = self.folder / "gateway_metrics.json"
        process = subprocess.Popen([sys.executable, "-I", gateway_metrics.__file__, config])
        try:
            wait_for(lambda: self.get("/metrics/models", port=self.metrics_port).status == 200)
            yield process.pid
        finally:
            process.terminate()
            process.wait(10)


def read(response: HTTPResponse) -> Answer:
    """The rest of a response."""
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def wait_for(condition: Any, seconds: float = 10) -> None:
    """Ask again and again until it holds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


def inventory(replicas: Mapping[str, list[Stub]], settings: str, port: int, metrics_port: int) -> str:
    """An environment whose hosts are the replicas' own loopback addresses."""
    addresses = sorted({str(stub.server_address[0]) for stubs in replicas.values() for stub in stubs})
    lines = [
        f"gateway: {{port: {port}, metrics_port: {metrics_port}, {settings}}}",
        "hosts:",
        f"  edge: {{address: {ADDRESS}, roles: [gateway]}}",
    ]
    lines += [f"  {_host(address)}: {{address: {address}, roles: [models]}}" for address in addresses]
    lines.append("placements:")
    for model, stubs in replicas.items():
        lines.append(f"  {model}:")
        for stub in stubs:
            address, port = stub.server_address[:2]
            lines.append(f"    - {{host: {_host(str(address))}, devices: [cpu], port: {port}}}")
    return "\n".join(lines) + "\n"


@contextmanager
def running(
    settings: str = "",
    trusting: ssl.SSLContext | None = None,
    edit: Callable[[str], str] = str,
    **replicas: list[Stub],
) -> Iterator[Gateway]:
    """HAProxy in front of some replicas, until the block ends; `edit` changes its configuration."""
    with tempfile.TemporaryDirectory(prefix="gw-", dir="/tmp") as name:  # a socket's path must be short
        folder = Path(name)
        port, metrics_port = _free_ports()
        variables: dict[str, str] = {}

        def write(settings: str) -> Path:
            root = Path(tempfile.mkdtemp(dir=folder))
            found = project(root, inventory(replicas, settings, port, metrics_port), CATALOGUE)
            (job,) = jobs(load_fleet(found.root, "test"), found, ["edge"])
            files = revealed(job)
            config = install(folder, files)
            config.write_text(edit(config.read_text()))
            (folder / "gateway_metrics.json").write_text(files[exporter.CONFIG_FILE])
            variables.update(environment(files))
            return config

        config = write(settings)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                ["haproxy", "-W", "-f", config], stdout=log, stderr=log, env=os.environ | variables
            )
        try:
            started = Gateway(port, metrics_port, folder, process, write, trusting)
            wait_for(lambda: process.poll() is not None or started.get("/health").status == 200)
            assert process.poll() is None, started.log()
            yield started
        finally:
            process.terminate()
            process.wait(10)


def revealed(job: Job) -> dict[str, str]:
    """The gateway's files by path, secrets filled in."""
    files = (file for part in job.parts if part.capability == "gateway" for file in part.files)
    return {file.path: secret.reveal(file).decode() for file in files}


def install(folder: Path, files: Mapping[str, str]) -> Path:
    """Put the gateway's files, given by their paths, into a folder where any user can start them."""
    for path in (*gateway.PARTS, gateway.CERTIFICATE_FILE, gateway.CONFIG_FILE):
        if path not in files:
            continue
        content = files[path].replace("/etc/haproxy/stackctl", str(folder))
        content = content.replace(gateway.ADMIN_SOCKET, str(folder / "admin.sock"))
        content = re.sub(r"\n    (chroot|user|group) .*", "", content)
        (folder / Path(path).name).write_text(content.replace(" user root group root", ""))
    return folder / Path(gateway.CONFIG_FILE).name


def environment(files: Mapping[str, str]) -> dict[str, str]:
    """What its unit has HAProxy find in its environment."""
    lines = files[gateway.UNIT_FILE].splitlines()
    words = [line.removeprefix("Environment=").split() for line in lines if line.startswith("Environment=")]
    return dict(word.split("=", 1) for found in words for word in found)


def _host(address: str) -> str:
    return f"h{address.replace('.', '-')}"


def _free_ports() -> tuple[int, int]:
    with socket.create_server((ADDRESS, 0)) as one, socket.create_server((ADDRESS, 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
