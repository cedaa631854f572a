"""Debian's docker-registry on loopback, with whatever images a test pushes."""

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from stackctl.lab.registry import MANIFEST
from tests.engine.sshd import free_port

INDEX = "application/vnd.oci.image.index.v1+json"
USER, PASSWORD = "puller", "sesame"
_HASHED = "$2b$04$4HMw7tTAypAENriIj38VJOUHkPEvw9V4P57mnDDpKBcqEqa9XqXnW"


@dataclass(frozen=True)
class DebianRegistry:
    """Where it listens, and how it is filled."""

    name: str
    """`127.0.0.1:PORT`, as the names of its images begin."""
    login: tuple[str, str] | None

    def push(self, tag: str, env: Mapping[str, str], *, architectures: Sequence[str] = ()) -> str:
        """Publish an image of no layers that sets these variables, for several processors where they are named."""
        if not architectures:
            return self._tagged(tag, MANIFEST, self._image(env, "amd64"))
        listed = []
        for architecture in architectures:
            variables = {**env, "ARCHITECTURE": architecture}
            content = self._image(variables if architecture == "amd64" else {}, architecture)
            named = self._tagged(_digest(content), MANIFEST, content)
            platform = {"os": "linux", "architecture": architecture}
            listed.append(
                {"mediaType": MANIFEST, "digest": named, "size": len(content), "platform": platform}
            )
        return self._tagged(tag, INDEX, _json({"mediaType": INDEX, "manifests": listed}))

    def _image(self, env: Mapping[str, str], architecture: str) -> bytes:
        variables = [f"{name}={value}" for name, value in env.items()]
        config = _json({"architecture": architecture, "os": "linux", "config": {"Env": variables}})
        begun = self._ask("POST", "blobs/uploads/").headers["Location"]
        httpx.put(
            begun,
            params={**httpx.URL(begun).params, "digest": _digest(config)},
            content=config,
            auth=self.login,
        ).raise_for_status()
        described = {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": _digest(config),
            "size": len(config),
        }
        return _json({"mediaType": MANIFEST, "config": described, "layers": []})

    def _tagged(self, reference: str, kind: str, content: bytes) -> str:
        self._ask("PUT", f"manifests/{reference}", content=content, headers={"Content-Type": kind})
        return _digest(content)

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = httpx.request(method, f"http://{self.name}/v2/team/tool/{path}", auth=self.login, **more)
        return answer.raise_for_status()


@contextmanager
def running(folder: Path, *, login: bool = False) -> Iterator[DebianRegistry]:
    """Run it until the block ends, open to everybody or to the one login."""
    name = f"127.0.0.1:{free_port()}"
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": name, "secret": "of no worth"},
    }
    if login:
        (folder / "users").write_text(f"{USER}:{_HASHED}\n")
        settings["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "users")}}
    (folder / "registry.yml").write_text(json.dumps(settings))
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    command = ["docker-registry", "serve", str(folder / "registry.yml")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            _await(name, folder / "log")
            yield DebianRegistry(name, (USER, PASSWORD) if login else None)
        finally:
            process.terminate()


def _await(name: str, log: Path) -> None:
    for _ in range(300):
        try:
            httpx.get(f"http://{name}/v2/")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


def _json(value: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, **value}).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
