import subprocess
from pathlib import Path

import pytest

from stackctl.capabilities.gateway import CARDS_FILE, CONFIG_FILE, LUA_FILE
from tests.expected import GOLDEN
from tests.gateway.haproxy import install


@pytest.mark.parametrize("host", ["gateway/edge", "gateway/empty", "inventory/prod/edge1"])
def test_haproxy_has_nothing_to_say_against_the_configuration(tmp_path: Path, host: str) -> None:
    paths = [path.lstrip("/") for path in (LUA_FILE, CARDS_FILE, CONFIG_FILE)]
    files = {path: (GOLDEN / host / path).read_text() for path in paths}

    config = install(tmp_path, files)

    judged = subprocess.run(
        ["haproxy", "-c", "-q", "-f", config], check=False, capture_output=True, text=True
    )
    assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")
