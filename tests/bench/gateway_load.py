"""Requests and streams, and what they took."""

import asyncio
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.measure import BrokenError

PATH = "/v1/chat/completions"
STREAMS = 16
"""At the same time."""
_QUESTION = {"model": "chat", "messages": [{"role": "user", "content": "x" * 950}]}
"""1 KB as JSON."""
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer sk-bench"
wrk.body = [==[@BODY@]==]
done = function(summary, latency, requests)
  local errors = summary.errors
  print(string.format("took %d %d %d %d %d", latency:percentile(50), latency:percentile(99), summary.requests,
    summary.duration, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


def requests(address: tuple[str, int], clients: int, seconds: int) -> tuple[float, float, float, int]:
    """Milliseconds at the median and at the 99th percentile, requests a second, and how many there were.

    BrokenError where any failed.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT.replace("@BODY@", json.dumps(_QUESTION)))
        script.flush()
        words = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", script.name]
        url = f"http://{address[0]}:{address[1]}{PATH}"
        ended = subprocess.run([*words, url], capture_output=True, text=True, check=True)
    found = re.search(r"^took (\d+) (\d+) (\d+) (\d+) (\d+)$", ended.stdout, re.MULTILINE)
    if found is None:
        raise BrokenError(f"wrk told nothing of {url}\n{ended.stdout}{ended.stderr}")
    middle, late, count, duration, failed = map(int, found.groups())
    if failed or not count:
        raise BrokenError(f"{failed} of {count} requests to {url} failed\n{ended.stdout}")
    return middle / 1000, late / 1000, count / duration * 1_000_000, count


def first_bytes(address: tuple[str, int], rounds: int) -> Sequence[float]:
    """Milliseconds to the first event of each stream, STREAMS at a time. BrokenError where one has no end."""
    return asyncio.run(_rounds(address, rounds))


async def _rounds(address: tuple[str, int], rounds: int) -> list[float]:
    found = []
    for _ in range(rounds):
        found += await asyncio.gather(*(_stream(address) for _ in range(STREAMS)))
    return found


async def _stream(address: tuple[str, int]) -> float:
    body = json.dumps(_QUESTION | {"stream": True})
    head = f"POST {PATH} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nAuthorization: Bearer sk-bench\r\n"
    reader, writer = await asyncio.open_connection(*address)
    begun = time.perf_counter()
    writer.write(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    try:
        await reader.readuntil(b"data: ")
        first = time.perf_counter() - begun
        rest = b""
        while b"[DONE]" not in rest:
            piece = await reader.read(65536)
            if not piece:
                raise BrokenError(f"a stream of {address[0]}:{address[1]} has no end")
            rest = rest[-10:] + piece
    finally:
        writer.close()
    return first * 1000


def processor_time(pids: Sequence[int]) -> float:
    """Seconds of the processor that processes have had."""
    found = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found += (int(fields[11]) + int(fields[12])) / 100
    return found
