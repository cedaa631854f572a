"""A project on a lab of its own, and the real program run on it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import yaml

from stackctl.engine.dial import dial
from stackctl.lab import host
from stackctl.lab.shell import run
from stackctl.lab.spec import LabSpec

NAME = "t-apply"
GATEWAY = ("10.89.0.11", 8080)
ADDRESSES = {"edge": "10.89.0.11", "gpu1": "10.89.0.12", "gpu2": "10.89.0.13"}
FAKE: dict[str, Any] = {
    "server": "vllm",
    "image": "registry.lab:5000/lab/fake-model:1",
    "weights": {"path": "none"},
    "api": ["chat", "completions"],
    "context": 1024,
    "max_num_seqs": 8,
    "shutdown_timeout": 5,
    "start_seconds": 30,
}
SPEAK: dict[str, Any] = {
    "server": "custom",
    "image": "registry.lab:5000/lab/tts:1",
    "port": 8880,
    "api": ["speech"],
    "start_seconds": 60,
    "stop_seconds": 5,
}
PROFILE = {"system": {"time": "external"}}


@dataclass(frozen=True)
class Site:
    """The project's folder and its lab."""

    folder: Path
    spec: LabSpec

    def write(self, models: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        """Write both inventory files."""
        inventory = self.folder / "inventory"
        inventory.mkdir(exist_ok=True)
        (inventory / "models.yaml").write_text(yaml.safe_dump({"models": dict(models)}))
        (inventory / f"{self.spec.name}.yaml").write_text(yaml.safe_dump(dict(environment), sort_keys=False))

    @contextmanager
    def changed(self, **hosts: Mapping[str, Any]) -> Iterator[None]:
        """Settings of hosts changed for the length of a block."""
        environment = site_environment()
        for name, settings in hosts.items():
            environment["hosts"].setdefault(name, {}).update(settings)
        self.write(site_models(), environment)
        try:
            yield
        finally:
            self.write(site_models(), site_environment())

    def start(self, *words: str, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        """The real program, in its own process group as a terminal would have it."""
        return subprocess.Popen(
            [sys.executable, "-m", "stackctl", *words, "--project", str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=environment,
        )

    def stackctl(self, *words: str, seconds: int = 300) -> "subprocess.CompletedProcess[str]":
        """Run the real program to its end."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=seconds)
        assert "Traceback" not in out + err
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def interrupt(self, process: "subprocess.Popen[str]") -> tuple[str, str]:
        """Ctrl-C."""
        process.send_signal(signal.SIGINT)
        return process.communicate(timeout=60)

    def entering(self, name: str, command: str) -> list[str]:
        """Words that run a shell command on a host, past SSH."""
        return [*host.entering(self.spec, self.spec.host(name)), "sh", "-c", f"cd / && {command}"]

    def on(self, name: str, command: str) -> str:
        """Run a shell command on a host, past SSH, and have what it says."""
        return run(self.entering(name, command))

    def request(
        self, method: str, path: str, body: object = None, to: tuple[str, int] = GATEWAY
    ) -> tuple[int, dict[str, str], bytes]:
        """One HTTP request from where the operator stands: status, headers, body."""
        connection = HTTPConnection(*to, timeout=60)
        connection.sock = dial(*to, timeout=5, namespace=self.spec.namespace("operator"))
        connection.sock.settimeout(60)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return response.status, headers, response.read()
        finally:
            connection.close()

    def wait(self, condition: str, seconds: int = 30) -> None:
        """Wait until a shell command on the gateway host succeeds."""
        self.until("edge", condition, seconds)

    def until(self, name: str, condition: str, seconds: int = 30) -> None:
        """Wait until a shell command on a host succeeds."""
        for _ in range(seconds * 5):
            if self.on(name, f"({condition}) >/dev/null 2>&1 && echo yes || echo no").strip() == "yes":
                return
            time.sleep(0.2)
        raise TimeoutError(condition)


def site_models() -> dict[str, Any]:
    """The catalogue, fresh."""
    return deepcopy({"chat": FAKE, "speak": SPEAK})


def site_environment() -> dict[str, Any]:
    """The environment, fresh."""
    roles = {"edge": ["gateway"], "gpu1": ["models"], "gpu2": ["models"]}
    return deepcopy(
        {
            "environment": NAME,
            "lab": {},
            "network": {"domain": "stack.lab"},
            "profiles": {"virtual": PROFILE},
            "hosts": {
                name: {"profile": "virtual", "address": ADDRESSES[name], "roles": roles[name]}
                for name in ADDRESSES
            },
            "placements": {
                "chat": [{"host": "gpu1", "devices": ["cpu"]}, {"host": "gpu2", "devices": ["cpu"]}],
                "speak": [{"host": "gpu1", "devices": ["cpu"]}],
            },
        }
    )
