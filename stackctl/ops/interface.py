"""Network interfaces that somebody else makes, and that others rest on."""

import shlex
from collections.abc import Generator, Iterable

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.core.finding import Finding, FindingsError
from stackctl.ops.step import Step
from stackctl.ops.trace import saw
from stackctl.ops.wording import some


class Holders(FactBase[tuple[str, ...]]):
    """Interfaces that have an IPv4 address, in the kernel's order."""

    def command(self, address: str) -> str:
        """Asked of the kernel."""
        return f"ip -4 -o address show to {shlex.quote(address)}"

    @staticmethod
    def default() -> tuple[str, ...]:
        """None has it."""
        return ()

    def process(self, output: Iterable[str]) -> tuple[str, ...]:
        """Lines such as `2: wg0    inet 10.77.0.11/24 scope global wg0`."""
        return tuple(line.split()[1].rpartition(":")[2] for line in output if line.strip())


class Addresses(FactBase[tuple[str, ...] | None]):
    """IPv4 addresses of an interface; None where there is no such interface."""

    def command(self, interface: str) -> str:
        """Asked of the kernel."""
        name = shlex.quote(interface)
        return f"[ ! -d /sys/class/net/{name} ] || {{ echo there; ip -4 -o address show dev {name}; }}"

    @staticmethod
    def default() -> tuple[str, ...] | None:
        """No interface."""
        return None

    def process(self, output: Iterable[str]) -> tuple[str, ...] | None:
        """`there`, then lines such as `2: wg0    inet 10.77.0.11/24 scope global wg0`."""
        rows = [line.split() for line in output]
        if not rows:
            return None
        return tuple(row[3].partition("/")[0] for row in rows if row[2:3] == ["inet"])


@operation()
def present(interface: str, address: str) -> Generator[Step, None, None]:
    """Refuse a host without this interface, or on which it has another address."""
    found = host.get_fact(Addresses, interface=interface)
    saw(f"interface {interface}", **({} if found is None else {"addresses": ", ".join(found)}))
    where = f"interface {interface}"
    if found is None:
        hint = "bring it up first, have it come up at boot, or write another `network.mesh.interface` or `backend`"
        raise FindingsError(Finding(where, "is not on this host, and the mesh is to be on it", hint))
    if address not in found:
        has = f"has {some(found)}" if found else "has no IPv4 address"
        what = f"{has}, and the host's `mesh.address` is {address}"
        raise FindingsError(Finding(where, what, "give it that address, or write the one it has"))
    yield from ()


@operation()
def unclaimed(address: str, interface: str) -> Generator[Step, None, None]:
    """Refuse a host on which another interface has the address, such as that of a mesh by another backend."""
    others = [name for name in host.get_fact(Holders, address=address) if name != interface]
    if others:
        what = f"has {address}, which is to be on {interface}"
        hint = f"take {others[0]} down for good, as with `systemctl disable --now wg-quick@{others[0]}`, or give it another"
        raise FindingsError(Finding(f"interface {others[0]}", what, hint))
    yield from ()
