"""What a lab is made of, and every name and address that follows from it. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Literal, Self

from stackctl.core.finding import Finding, FindingsError

LAN = IPv4Network("10.89.0.0/24")
INTERNET = IPv4Network("198.18.0.0/24")
OPERATOR_ADDRESS = LAN[250]
PACKAGES_ADDRESS = INTERNET[10]
PACKAGES_PORT = 3142
REGISTRY_ADDRESS = INTERNET[20]
REGISTRY_PORT = 5000
REGISTRY_NAME = "registry.lab"
NAMES_ADDRESS = INTERNET[53]
REGISTRY = f"{REGISTRY_NAME}:{REGISTRY_PORT}"

STATE = Path("/var/lib/stackctl-lab")
CACHE = Path("/var/cache/stackctl-lab")

Kind = Literal["container", "vm"]
"""What the hosts of a lab are: containers on this machine's kernel, or virtual machines with their own."""
ISPS = (1, 2)
SUITES = {"debian-13": "trixie", "debian-12": "bookworm"}
"""The operating systems a lab host can have, by the inventory's name for them."""
EVERYDAY_IMAGES = ("fake-model", "tts")
_ROLES = ("lan", *(f"isp{isp}" for isp in ISPS), "internet", "operator")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?")


@dataclass(frozen=True)
class LabHost:
    """A virtual host: its name, its address on the LAN, its Debian."""

    name: str
    address: IPv4Address
    suite: str = "trixie"
    weights: str = "/srv/weights"
    """Directory in which the host looks for weights."""

    @property
    def number(self) -> int:
        """The last part of the address; names this host's ports and its addresses at the ISPs."""
        return int(self.address) - int(LAN.network_address)

    def wan(self, isp: int) -> IPv4Interface:
        """This host's address at one of the ISPs."""
        network = wan(isp)
        return IPv4Interface(f"{network[self.number]}/{network.prefixlen}")

    @property
    def lan(self) -> IPv4Interface:
        """This host's address on the LAN, with the LAN's width."""
        return IPv4Interface(f"{self.address}/{LAN.prefixlen}")


def wan(isp: int) -> IPv4Network:
    """The network between an ISP's router and its customers."""
    return IPv4Network(f"198.18.{isp}.0/24")


def isp_on_lan(isp: int) -> IPv4Interface:
    """An ISP router's address on the LAN."""
    return IPv4Interface(f"{LAN[isp]}/{LAN.prefixlen}")


def isp_on_internet(isp: int) -> IPv4Interface:
    """An ISP router's address on the internet."""
    return IPv4Interface(f"{INTERNET[isp]}/{INTERNET.prefixlen}")


def is_namespace_of(lab: str, namespace: str) -> bool:
    """Whether a network namespace of this name belongs to `lab`; no other lab's name can match."""
    role = namespace.removeprefix(f"stackctl-{lab}-")
    return role != namespace and (role in _ROLES or role.startswith("host-"))


@dataclass(frozen=True)
class LabSpec:
    """All that a lab must be."""

    name: str
    hosts: tuple[LabHost, ...]
    images: tuple[str, ...] = EVERYDAY_IMAGES
    """Images its registry serves; a recipe of that name is in `stackctl.lab.images`."""
    kind: Kind = "container"

    @classmethod
    def of(
        cls,
        name: str,
        addresses: Mapping[str, str],
        *,
        systems: Mapping[str, str] | None = None,
        weights: Mapping[str, str] | None = None,
        images: tuple[str, ...] = EVERYDAY_IMAGES,
        kind: Kind = "container",
    ) -> Self:
        """A lab from plain values: host addresses, operating systems and weights directories by host name.

        FindingsError tells every host that cannot be.
        """
        systems = systems or {}
        problems = [*_name_problems(name, addresses), *_address_problems(addresses)]
        problems += [
            Finding(
                f"lab {name}", f"host `{host}`: no `{system}` can be made here", f"use {', '.join(SUITES)}"
            )
            for host, system in systems.items()
            if system not in SUITES
        ]
        if problems:
            raise FindingsError(*problems)
        places = weights or {}
        hosts = tuple(
            LabHost(
                host,
                IPv4Address(address),
                SUITES[systems.get(host, "debian-13")],
                places.get(host, LabHost.weights),
            )
            for host, address in addresses.items()
        )
        return cls(name, hosts, tuple(dict.fromkeys(images)), kind)

    @property
    def state(self) -> Path:
        """Directory of everything that `down` removes."""
        return STATE / self.name

    @property
    def key(self) -> Path:
        """Private key that logs in as root, ops and opspw on every host."""
        return self.state / "id_ed25519"

    @property
    def kind_file(self) -> Path:
        """Holds what kind of hosts the lab has, for as long as it is there."""
        return self.state / "kind"

    @property
    def known_hosts(self) -> Path:
        """Host keys of all hosts, written before they boot."""
        return self.state / "known_hosts"

    @property
    def sudo_password(self) -> Path:
        """File that holds the password `opspw` needs for sudo."""
        return self.state / "opspw.password"

    def namespace(self, role: str) -> str:
        """Name of a network namespace: lan, isp1, isp2, internet or operator."""
        return f"stackctl-{self.name}-{role}"

    def host_namespace(self, host: str) -> str:
        """Name of a host's network namespace, and of a virtual machine."""
        return f"stackctl-{self.name}-host-{host}"

    def machine(self, host: str) -> str:
        """Name of a host's container."""
        return f"stackctl-{self.name}-{host}"

    def home(self, host: str) -> Path:
        """Directory of a host's file systems."""
        return self.state / "hosts" / host

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Every network namespace of the lab."""
        return (
            *(self.namespace(role) for role in _ROLES),
            *(self.host_namespace(host.name) for host in self.hosts),
        )

    def host(self, name: str) -> LabHost:
        """The host of that name; FindingsError when there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        names = ", ".join(host.name for host in self.hosts)
        raise FindingsError(Finding(f"lab {self.name}", f"no host `{name}`", f"its hosts are {names}"))


def _name_problems(lab: str, hosts: Mapping[str, str]) -> list[Finding]:
    problems = []
    # `-host` would make one lab's namespaces look like another's
    if not _NAME.fullmatch(lab) or "-host" in lab:
        problems.append(
            Finding(
                f"lab {lab}",
                f"`{lab}` cannot name a lab",
                "use up to 24 of a-z, 0-9 and inner `-`, without `-host`",
            )
        )
    problems += [
        Finding(f"lab {lab}", f"`{host}` cannot name a host", "use up to 24 of a-z, 0-9 and inner `-`")
        for host in hosts
        if not _NAME.fullmatch(host)
    ]
    return problems


def _address_problems(hosts: Mapping[str, str]) -> list[Finding]:
    free = f"pick one of {LAN[11]} to {LAN[249]}"
    seen: dict[str, str] = {}
    problems = []
    for host, text in hosts.items():
        if text in seen:
            problems.append(Finding(f"host {host}", f"{text} is already {seen[text]}'s address", free))
        elif not _is_host_address(text):
            problems.append(
                Finding(f"host {host}", f"`{text}` is not a host's address on the lab's LAN", free)
            )
        seen.setdefault(text, host)
    return problems


def _is_host_address(text: str) -> bool:
    try:
        return LAN[11] <= IPv4Address(text) <= LAN[249]
    except ValueError:
        return False
