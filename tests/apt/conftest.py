from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apt.flat import Key
from tests.apt.root import Root


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """An apt of its own."""
    return Root(tmp_path / "root")


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Key]:
    """A key to sign with."""
    made = Key(tmp_path_factory.mktemp("key") / "home")
    yield made
    made.end()
