"""The program as a person runs it, in this process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from stackctl.cli.main import run


class Ended(NamedTuple):
    """How a run of the program ended."""

    code: int
    out: str
    err: str


def stackctl(capsys: pytest.CaptureFixture[str], *words: str, cwd: Path | None = None) -> Ended:
    """Run `stackctl WORDS` in a directory."""
    with _inside(cwd or Path.cwd()), pytest.raises(SystemExit) as ended:
        run(words)
    out, err = capsys.readouterr()
    return Ended(int(ended.value.code or 0), out, err)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
