"""Golden files: what we write, compared with a file in its own format. `STACKCTL_GOLDEN=update` rewrites them."""

import os
from collections.abc import Mapping
from pathlib import Path

from stackctl.core.job import Job

GOLDEN = Path(__file__).parent / "golden"


def expect_files(folder: str, files: Mapping[str, str]) -> None:
    """Require that the golden folder holds exactly these files."""
    root = GOLDEN / folder
    if _updating():
        for path in _stored(root).keys() - files.keys():
            (root / path).unlink()
        _write(root, files)
    assert dict(files) == _stored(root)


def expect_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Require that a folder holds these texts, among other files."""
    if _updating():
        _write(folder, texts)
    stored = _stored(folder)
    assert dict(texts) == {name: stored.get(name) for name in texts}


def files_of(job: Job, capability: str | None = None) -> dict[str, str]:
    """Content by path of a host's files, of one capability or of all."""
    return {
        artifact.path.lstrip("/"): artifact.content
        for part in job.parts
        if capability in (None, part.capability)
        for artifact in part.files
    }


def _updating() -> bool:
    return os.environ.get("STACKCTL_GOLDEN") == "update"


def _write(root: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def _stored(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in files}
