"""The host that several modules strike at."""

from collections.abc import Iterator

import pytest

from tests.lab.struck import Struck, raised


@pytest.fixture(scope="session")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Struck]:
    yield from raised(tmp_path_factory.mktemp("struck"))
