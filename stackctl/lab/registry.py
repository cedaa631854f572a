"""The lab's image registry: Debian's docker-registry in the lab's internet, and what we say to it."""

import hashlib
import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stackctl import namespace
from stackctl.core.finding import FailureError, Finding
from stackctl.lab import kernel, keys
from stackctl.lab.internet import await_port
from stackctl.lab.shell import inside, spawn
from stackctl.lab.spec import CACHE, REGISTRY_ADDRESS, REGISTRY_NAME, REGISTRY_PORT, LabSpec

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_TIMEOUT = 120


def configuration(spec: LabSpec) -> dict[str, Any]:
    """What docker-registry is told; its storage outlives the lab, so images are built and pushed once."""
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(CACHE / "registry")}, "delete": {"enabled": True}},
        "http": {
            "addr": f"{REGISTRY_ADDRESS}:{REGISTRY_PORT}",
            "secret": "of no worth: nobody uploads through two registries at once",
            "tls": {
                "certificate": str(spec.state / "registry.crt"),
                "key": str(spec.state / "registry.key"),
            },
        },
    }


def start(spec: LabSpec) -> None:
    """Start the registry, where it does not run, and wait until it answers."""
    config, log = spec.state / "registry.yml", spec.state / "registry.log"
    if not kernel.runs(spec.name, str(config)):
        keys.write(config, json.dumps(configuration(spec), indent=1))  # JSON is YAML
        command: list[str | Path] = ["env", "OTEL_TRACES_EXPORTER=none", "docker-registry", "serve", config]
        spawn(inside(spec.namespace("internet"), command), log=log)
    await_port(spec, str(REGISTRY_ADDRESS), REGISTRY_PORT, log)


@dataclass(frozen=True)
class Registry:
    """The registry of a lab as a client sees it."""

    spec: LabSpec

    def digest(self, repository: str, reference: str) -> str | None:
        """Digest of the image under this tag or digest; None where there is none."""
        status, headers = self._ask("HEAD", f"/v2/{repository}/manifests/{reference}", {"Accept": MANIFEST})
        return headers.get("docker-content-digest") if status == 200 else None

    def images(self) -> list[str]:
        """Everything it serves, as `repository:tag`."""
        found = []
        for repository in self._list("/v2/_catalog", "repositories"):
            found += [f"{repository}:{tag}" for tag in self._list(f"/v2/{repository}/tags/list", "tags")]
        return sorted(found)

    def push_blob(self, repository: str, content: Path, digest: str) -> None:
        """Upload a layer, unless it is there."""
        if self._ask("HEAD", f"/v2/{repository}/blobs/{digest}")[0] == 200:
            return
        with content.open("rb") as stream:
            self._upload(repository, stream, content.stat().st_size, digest)

    def push_bytes(self, repository: str, content: bytes) -> str:
        """Upload a small blob; its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if self._ask("HEAD", f"/v2/{repository}/blobs/{digest}")[0] != 200:
            self._upload(repository, content, len(content), digest)
        return digest

    def push_manifest(self, repository: str, reference: str, manifest: bytes) -> str:
        """Publish an image under a tag or its digest; its digest."""
        path = f"/v2/{repository}/manifests/{reference}"
        status, headers = self._ask("PUT", path, {"Content-Type": MANIFEST}, manifest)
        self._expect(status, 201, f"publish {repository}:{reference}")
        return headers["docker-content-digest"]

    def manifest(self, repository: str, reference: str) -> bytes | None:
        """An image's manifest as it was pushed; None where there is none."""
        with self._connection() as connection:
            connection.request("GET", f"/v2/{repository}/manifests/{reference}", headers={"Accept": MANIFEST})
            reply = connection.getresponse()
            content = reply.read()
            return content if reply.status == 200 else None

    def _upload(self, repository: str, content: Any, size: int, digest: str) -> None:
        status, headers = self._ask("POST", f"/v2/{repository}/blobs/uploads/")
        self._expect(status, 202, f"begin an upload to {repository}")
        place = urlsplit(headers["location"])
        path = f"{place.path}?{place.query}&digest={digest}"
        about = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        status, _ = self._ask("PUT", path, about, content)
        self._expect(status, 201, f"upload a layer of {repository}")

    def _list(self, path: str, key: str) -> list[str]:
        with self._connection() as connection:
            connection.request("GET", f"{path}?n=1000" if path.endswith("catalog") else path)
            reply = connection.getresponse()
            content = reply.read()
            return (json.loads(content)[key] or []) if reply.status == 200 else []

    def _ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> tuple[int, dict[str, str]]:
        with self._connection() as connection:
            connection.request(method, path, body=body, headers=headers or {})
            reply = connection.getresponse()
            reply.read()
            return reply.status, {name.lower(): value for name, value in reply.headers.items()}

    @contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        trust = ssl.create_default_context(cafile=str(keys.authority(self.spec)))
        internet = self.spec.namespace("internet")
        connection = http.client.HTTPConnection(REGISTRY_NAME, REGISTRY_PORT)
        try:
            plain = namespace.connect(internet, str(REGISTRY_ADDRESS), REGISTRY_PORT, timeout=_TIMEOUT)
            connection.sock = trust.wrap_socket(plain, server_hostname=REGISTRY_NAME)
            yield connection
        except (OSError, http.client.HTTPException) as error:
            what = f"the image registry does not answer: {error}"
            hint = f"read {self.spec.state / 'registry.log'}"
            raise FailureError(Finding(f"lab {self.spec.name}", what, hint)) from error
        finally:
            connection.close()

    def _expect(self, status: int, wanted: int, deed: str) -> None:
        if status != wanted:
            what = f"the image registry refused to {deed}: HTTP {status}"
            hint = f"read {self.spec.state / 'registry.log'}"
            raise FailureError(Finding(f"lab {self.spec.name}", what, hint))
