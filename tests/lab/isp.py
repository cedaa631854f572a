"""What goes wrong at the lab's internet providers, for the length of a block."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stackctl.lab.shell import inside, run
from stackctl.lab.spec import ISPS, LabSpec, isp_on_internet, wan

_FAULTS = """\
table inet faults
delete table inet faults
table inet faults {{
  chain faults {{
    type filter hook {hook} priority -300; policy accept;
    {rule}
  }}
}}
"""


@dataclass(frozen=True)
class Isp:
    """One provider of a lab."""

    spec: LabSpec
    number: int

    @property
    def namespace(self) -> str:
        return self.spec.namespace(f"isp{self.number}")

    @contextmanager
    def without_upstream(self) -> Iterator[None]:
        """Its router answers, and nothing behind it does."""
        with self._rule("forward", 'iifname "wan" drop'):
            yield

    @contextmanager
    def without_gateway(self) -> Iterator[None]:
        """Its router is silent; the cable has a carrier."""
        with self._rule("prerouting", 'iifname "wan" drop'):
            yield

    @contextmanager
    def lossy(self, percent: int) -> Iterator[None]:
        """It loses this share of what comes from the internet."""
        with self._rule("forward", f'iifname "internet" numgen random mod 100 < {percent} drop'):
            yield

    @contextmanager
    def unplugged(self, host: str) -> Iterator[None]:
        """The cable to a host is out."""
        port = f"host{self.spec.host(host).number}"
        run(["ip", "-n", self.namespace, "link", "set", port, "down"])
        try:
            yield
        finally:
            run(["ip", "-n", self.namespace, "link", "set", port, "up"])

    @contextmanager
    def _rule(self, hook: str, rule: str) -> Iterator[None]:
        run(inside(self.namespace, ["nft", "-f", "-"]), stdin=_FAULTS.format(hook=hook, rule=rule))
        try:
            yield
        finally:
            run(inside(self.namespace, ["nft", "delete", "table", "inet", "faults"]))


@contextmanager
def silent(spec: LabSpec, address: str) -> Iterator[None]:
    """One address on the internet answers nobody."""
    rule = _FAULTS.format(hook="prerouting", rule=f"ip daddr {address} drop")
    run(inside(spec.namespace("internet"), ["nft", "-f", "-"]), stdin=rule)
    try:
        yield
    finally:
        run(inside(spec.namespace("internet"), ["nft", "delete", "table", "inet", "faults"]))


@contextmanager
def flapping(isp: Isp, host: str, *, up: float, down: float) -> Iterator[None]:
    """The cable to a host goes out and in all the time."""
    end = threading.Event()

    def flap() -> None:
        while not end.is_set():
            with isp.unplugged(host):
                time.sleep(down)
            end.wait(up)

    thread = threading.Thread(target=flap)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def routed(spec: LabSpec) -> None:
    """Let the internet and each provider reach the customers of the others, as on the real one."""
    for isp in ISPS:
        way = ["route", "replace", str(wan(isp)), "via", str(isp_on_internet(isp).ip)]
        for name in ("internet", *(f"isp{other}" for other in ISPS if other != isp)):
            run(["ip", "-n", spec.namespace(name), *way])
