"""Clients that ask for completions all the time, plain and streamed, and what became of every request."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from tests.lab.site import Site

PATH = "/v1/chat/completions"


@dataclass
class Load:
    """What the clients have seen; `ends` counts how requests ended."""

    site: Site
    body: Mapping[str, Any]
    ends: Counter[str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)
    longest: float = 0
    """Seconds of the request that took longest."""

    @property
    def failed(self) -> dict[str, int]:
        """Every end that is not the whole answer."""
        return {end: count for end, count in self.ends.items() if end not in ("plain", "streamed")}

    @property
    def asked(self) -> int:
        """How many requests have ended."""
        return self.ends.total()

    def until(self, asked: int) -> None:
        """Go on until so many requests have ended."""
        while self.asked < asked:
            time.sleep(0.2)

    def ask(self, *, stream: bool) -> None:
        """One client: its next request follows on the answer to the last."""
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                status, _, body = self.site.request("POST", PATH, {**self.body, "stream": stream})
            except (OSError, HTTPException) as error:
                self.ends[f"{type(error).__name__}: {error}"] += 1
                time.sleep(0.1)
                continue
            self.longest = max(self.longest, time.monotonic() - begun)
            self.ends[_end(status, body, stream=stream)] += 1
            time.sleep(0.02)


def _end(status: int, body: bytes, *, stream: bool) -> str:
    if status != 200:
        return f"status {status}: {body[:200].decode(errors='replace')}"
    if not stream:
        return "plain" if json.loads(body)["choices"] else "an empty answer"
    events = [line for line in body.decode().splitlines() if line.startswith("data: ")]
    whole = events[-1:] == ["data: [DONE]"] and not any('"error"' in event for event in events)
    return "streamed" if whole else f"a stream that ended with {events[-1:]}"


@contextmanager
def loaded(site: Site, body: Mapping[str, Any], plain: int = 3, streamed: int = 3) -> Iterator[Load]:
    """Clients that ask while the block runs; all that they have asked is answered at its end."""
    load = Load(site, body)
    with ThreadPoolExecutor(plain + streamed) as pool:
        clients = [pool.submit(load.ask, stream=number < streamed) for number in range(plain + streamed)]
        try:
            yield load
        finally:
            load.over.set()
    for client in clients:
        client.result()
