"""`stackctl doctor HOST`: which environment the host is of."""

from pathlib import Path

import pytest

from tests.cli.program import stackctl

CATALOGUE = "models: {}\n"


def inventory(folder: Path, **hosts: str) -> Path:
    """Environments with one host each."""
    (folder / "inventory").mkdir()
    (folder / "inventory/models.yaml").write_text(CATALOGUE)
    for environment, name in hosts.items():
        text = f"environment: {environment}\nhosts: {{{name}: {{address: 192.0.2.1}}}}\n"
        (folder / f"inventory/{environment}.yaml").write_text(text)
    return folder


def test_a_host_that_no_environment_has_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    done = stackctl(capsys, "doctor", "gpu9", cwd=inventory(tmp_path, prod="gpu1"))

    assert (done.code, done.err) == (
        2,
        "HOST  no environment has a host `gpu9`\n  hint: did you mean `gpu1`?\n",
    )


def test_a_host_of_two_environments_has_to_be_told_apart(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done = stackctl(capsys, "doctor", "gpu1", cwd=inventory(tmp_path, prod="gpu1", dev="gpu1"))

    assert (done.code, done.err) == (
        2,
        "HOST  `gpu1` is in 2 environments\n  hint: name one with `--environment`: dev, prod\n",
    )
