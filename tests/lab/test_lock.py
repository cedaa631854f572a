"""The lab's own image registry, asked as `stackctl lock` asks any."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from stackctl import namespace
from stackctl.lab import keys, lifecycle, network, registry
from stackctl.lab.images.manifest import configuration, manifest
from stackctl.lab.registry import Registry
from stackctl.lab.spec import REGISTRY, REGISTRY_ADDRESS, REGISTRY_NAME, LabSpec
from stackctl.schema.image import Locked, LockedImage
from stackctl.upstream.lookup import Access, ImageRegistries

pytestmark = pytest.mark.lab

SPEC = LabSpec.of("t-lock", {"edge": "10.89.0.11"})


@pytest.fixture(scope="module")
def lab() -> Iterator[Registry]:
    """A lab without hosts: the network, and the registry with its certificate."""
    network.raise_network(SPEC)
    keys.make_keys(SPEC)
    registry.start(SPEC)
    yield Registry(SPEC)
    lifecycle.down(SPEC.name)


def locked(image: str, monkeypatch: pytest.MonkeyPatch) -> Locked:
    """What the registry says to who is in the lab's internet, where its name is known, and trusts the lab."""
    resolved = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **named: Any) -> Any:
        return resolved(str(REGISTRY_ADDRESS) if host == REGISTRY_NAME else host, *more, **named)

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    monkeypatch.setenv("SSL_CERT_FILE", str(keys.authority(SPEC)))
    with closing(ImageRegistries(Access())) as registries:
        return namespace.within(SPEC.namespace("internet"), lambda: registries.locked(image))


def test_a_tag_of_the_labs_registry_is_a_digest_over_tls(
    lab: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration({"Env": ["CUDA_VERSION=12.8.1"]}, [])
    digest = lab.push_bytes("lab/lock", config)
    pushed = lab.push_manifest("lab/lock", "1", manifest(digest, len(config), []))

    found = locked(f"{REGISTRY}/lab/lock:1", monkeypatch)

    assert found == LockedImage(digest=pushed, cuda="12.8")
    assert json.loads(lab.manifest("lab/lock", "1") or b"")["config"]["digest"] == digest
