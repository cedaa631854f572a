import subprocess
from pathlib import Path

import pytest

from stackctl.capabilities.gateway import CERTIFICATE_FILE, CONFIG_FILE, PARTS
from tests.expected import GOLDEN
from tests.gateway.certificate import certificate
from tests.gateway.haproxy import install


@pytest.mark.parametrize("host", ["gateway/edge", "gateway/empty", "gateway/guarded", "inventory/prod/edge1"])
def test_haproxy_has_nothing_to_say_against_the_configuration(tmp_path: Path, host: str) -> None:
    files = {path: (GOLDEN / host / path.lstrip("/")).read_text() for path in (*PARTS, CONFIG_FILE)}
    if (GOLDEN / host / CERTIFICATE_FILE.lstrip("/")).exists():
        own = certificate(tmp_path)
        files[CERTIFICATE_FILE] = own.file.read_text() + own.key.read_text()

    config = install(tmp_path, files)

    judged = subprocess.run(
        ["haproxy", "-c", "-q", "-f", config], check=False, capture_output=True, text=True
    )
    assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")
