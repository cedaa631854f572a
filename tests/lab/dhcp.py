"""A provider of the lab that hands out addresses, and what a host's networkd is told to ask it for."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stackctl.lab.shell import inside
from stackctl.lab.spec import LabSpec


def client(interface: str) -> str:
    """A file of networkd's for an interface with a lease."""
    return f"""[Match]
Name={interface}
[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no
[DHCPv4]
RouteMetric=100
UseDNS=no
"""


@contextmanager
def leasing(spec: LabSpec, isp: int, folder: Path, *, router: str, first: str) -> Iterator[Path]:
    """The log of a server that gives addresses from `first` on with this router, and knows of no others' leases."""
    log, network = folder / f"{first}-via-{router}.log", first.rpartition(".")[0]
    last = f"{network}.{int(first.rpartition('.')[2]) + 20}"
    words = [
        *(
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--port=0",
            "--pid-file",
            "--user=root",
        ),
        *("--interface=wan", "--bind-interfaces", "--dhcp-authoritative", "--no-ping", "--log-dhcp"),
        *(f"--dhcp-range={first},{last},255.255.255.0,10m", f"--dhcp-option=option:router,{router}"),
        *(f"--dhcp-leasefile={log}.leases", f"--log-facility={log}"),
    ]
    with subprocess.Popen(inside(spec.namespace(f"isp{isp}"), words)) as server:
        try:
            while not log.exists():
                assert server.poll() is None
                time.sleep(0.1)
            yield log
        finally:
            server.terminate()
