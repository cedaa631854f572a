"""One virtual machine at a time, shared by the tests of a module."""

from collections.abc import Iterator

import pytest

from stackctl.lab import lifecycle
from tests.lab.node import Node


@pytest.fixture(scope="module")
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The host `node` with the system that the module names in `SYSTEM`."""
    system: str = request.module.SYSTEM
    node = Node.of(tmp_path_factory.mktemp("project"), f"t-vm-{system.removeprefix('debian-')}", system, "vm")
    lifecycle.up(node.site.spec, lambda _: None)
    yield node
    lifecycle.down(node.lab)
