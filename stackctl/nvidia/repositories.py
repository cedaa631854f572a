"""NVIDIA's package repositories, and the keys they are signed with."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True)
class Vendor:
    """A repository of the vendor's for one system."""

    url: str
    """Directory of `Packages`; a flat repository, whose suite is `/`."""
    key: str
    fingerprint: str


@cache
def _table() -> Mapping[str, Any]:
    return dict(yaml.safe_load((files("stackctl.nvidia") / "repositories.yaml").read_text("utf-8")))


def drivers(system: str) -> Vendor:
    """The repository of drivers and CUDA for `debian-13` and the like, on x86-64."""
    table = _table()["cuda"]
    entry = table["systems"][system]
    url = f"{table['url']}/{entry['folder']}/x86_64"
    return Vendor(url, f"{url}/{entry['key']}", table["fingerprints"][entry["key"]])


def toolkit() -> Vendor:
    """The repository of the container toolkit, one for all systems."""
    table = _table()["toolkit"]
    return Vendor(f"{table['url']}/amd64", table["key"], table["fingerprint"])


def retired() -> tuple[str, ...]:
    """Fingerprints of keys that the vendor has given up; a host that trusts one still is told so."""
    return tuple(_table()["retired"])
