"""NVIDIA's package repositories, and the keys they are signed with."""

from dataclasses import dataclass

from stackctl.nvidia.tables import table


@dataclass(frozen=True)
class Vendor:
    """A repository of the vendor's for one system."""

    url: str
    """Directory of `Packages`; a flat repository, whose suite is `/`."""
    key: str
    fingerprint: str


def drivers(system: str) -> Vendor:
    """The repository of drivers and CUDA for `debian-13` and the like, on x86-64."""
    found = table("repositories")["cuda"]
    entry = found["systems"][system]
    url = f"{found['url']}/{entry['folder']}/x86_64"
    return Vendor(url, f"{url}/{entry['key']}", found["fingerprints"][entry["key"]])


def toolkit() -> Vendor:
    """The repository of the container toolkit, one for all systems."""
    found = table("repositories")["toolkit"]
    return Vendor(f"{found['url']}/amd64", found["key"], found["fingerprint"])


TOOLKIT_VERSION = str(table("repositories")["toolkit"]["version"])
"""Version of the container toolkit that stackctl was written for."""


def retired() -> tuple[str, ...]:
    """Fingerprints of keys that the vendor has given up; a host that trusts one still is told so."""
    return tuple(table("repositories")["retired"])
