"""Ways to a model server: none, our gateway as it is rendered, as little of it as routes, and LiteLLM's proxy."""

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tests.bench.measure import BrokenError
from tests.bench.memory import family
from tests.gateway.haproxy import Gateway, running
from tests.gateway.stub import Stub

ROOT = Path(__file__).parents[2]
LOCK = Path(__file__).with_name("litellm.lock")
"""One version with the hashes of all it needs: of other versions, two were published by somebody else."""
ENVIRONMENT = ROOT / ".bench/litellm"
BACKEND = "127.0.0.2", 18081
PROXY = "127.0.0.1", 18082
WORKERS = 2
_SLOW_START = 180
_CONFIG = f"""\
model_list:
  - model_name: chat
    litellm_params: {{model: openai/chat, api_base: "http://{BACKEND[0]}:{BACKEND[1]}/v1", api_key: none}}
general_settings: {{master_key: sk-bench}}
litellm_settings: {{telemetry: false, request_timeout: 60, num_retries: 0}}
"""


@dataclass(frozen=True)
class Way:
    """One way that is open."""

    address: tuple[str, int]
    pids: Sequence[int] = ()
    """Its processes."""
    counted: Callable[[], float] | None = None
    """How many requests its metrics have, those lost on the way included."""


Contender = Callable[[], AbstractContextManager[Way]]


def make_environment() -> None:
    """Install LiteLLM and uvloop as they are locked, where they are not yet."""
    key = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    stamp = ENVIRONMENT / f".made-from-{key}"
    if stamp.exists():
        return
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    pip: list[str | Path] = [
        ENVIRONMENT / "bin/python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*pip, "--require-hashes", "-r", LOCK], check=True)
    stamp.touch()


@contextmanager
def backend() -> Iterator[None]:
    """The model server that all ways lead to."""
    program = Path(__file__).with_name("gateway_backend.py")
    words = [ENVIRONMENT / "bin/python", program, *map(str, BACKEND)]
    with _running(words, {}, BACKEND):
        yield


@contextmanager
def direct() -> Iterator[Way]:
    """Nothing in between."""
    yield Way(BACKEND)


@contextmanager
def ours() -> Iterator[Way]:
    """As an apply would have it, with the exporter of the log."""
    with _gateway() as gateway, gateway.exporting() as pid:
        processes = [*family(gateway.process.pid), pid]
        yield Way(("127.0.0.1", gateway.port), processes, lambda: _counted(gateway))


@contextmanager
def bare() -> Iterator[Way]:
    """Without what the metrics of models need: what that costs."""
    with _gateway(_without_metrics) as gateway:
        yield Way(("127.0.0.1", gateway.port), [*family(gateway.process.pid)])


@contextmanager
def litellm() -> Iterator[Way]:
    """LiteLLM's proxy with a worker for each processor of a small machine."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        config.write(_CONFIG)
        config.flush()
        words = [
            ENVIRONMENT / "bin/litellm",
            "--config",
            config.name,
            "--host",
            PROXY[0],
            "--port",
            str(PROXY[1]),
        ]
        settings = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
        }
        with _running([*words, "--num_workers", str(WORKERS)], settings, PROXY) as pid:
            yield Way(PROXY, [*family(pid)])


CONTENDERS: dict[str, Contender] = {
    "direct": direct,
    "stackctl": ours,
    "stackctl without metrics": bare,
    "LiteLLM": litellm,
}


def _gateway(edit: Callable[[str], str] = str) -> AbstractContextManager[Gateway]:
    return running("max_connections: 512", edit=edit, chat=[cast("Stub", _Elsewhere(BACKEND))])


@dataclass(frozen=True)
class _Elsewhere:
    """A replica that runs in a process of its own."""

    server_address: tuple[str, int]


def _without_metrics(config: str) -> str:
    lines = r"^ +(log 127\.84\..*|log-format-sd .*|http-response .*|http-request set-var\(txn\.ready\).*)\n"
    found, count = re.subn(lines, "", config, flags=re.MULTILINE)
    assert count == 5, "the configuration has other lines than the bench knows"
    return found


def _counted(gateway: Gateway) -> float:
    time.sleep(1)  # the last lines may still be on their way
    found = gateway.metrics()
    whole = found.get('stackctl_gateway_requests_total{model="chat",code="200"}', 0)
    return whole + found["stackctl_gateway_log_lost_total"]


@contextmanager
def _running(words: Sequence[Any], settings: dict[str, str], address: tuple[str, int]) -> Iterator[int]:
    """A program that listens, until the block ends. BrokenError where it does not come up."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            list(map(str, words)), env=os.environ | settings, stdout=said, stderr=said, start_new_session=True
        )
        try:
            deadline = time.monotonic() + _SLOW_START
            while True:
                try:
                    socket.create_connection(address, timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.2)
                if process.poll() is not None or time.monotonic() > deadline:
                    said.seek(0)
                    raise BrokenError(f"`{words[0]}` does not listen\n{said.read()[-2000:]}")
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
