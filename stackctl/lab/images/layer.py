"""Layers of an image: the same files give the same bytes."""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from stackctl.core.finding import FailureError
from stackctl.lab.shell import failure

_PLAIN = "application/vnd.oci.image.layer.v1.tar"
_ZSTD = f"{_PLAIN}+zstd"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Layer:
    """A layer as a manifest speaks of it."""

    digest: str
    """Of what is stored and sent."""
    content_digest: str
    """Of the archive inside, which an image's configuration lists as `diff_ids`."""
    size: int
    media_type: str

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        """Keep it beside the layer's content."""
        path.write_text(json.dumps(asdict(self)))


def layer_of_files(contents: Mapping[str, bytes]) -> tuple[Layer, bytes]:
    """A layer of a few small files, by absolute path, and its content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for parent in sorted({str(parent) for path in contents for parent in _parents(path)}):
            directory = tarfile.TarInfo(parent)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(directory)
        for path in sorted(contents):
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode = len(contents[path]), 0o644
            archive.addfile(member, io.BytesIO(contents[path]))
    content = stream.getvalue()
    digest = _sha256(content)
    return Layer(digest, digest, len(content), _PLAIN), content


def layer_of_tree(root: Path, content: Path) -> Layer:
    """A layer of a whole tree; its content is written to a file."""
    inner = hashlib.sha256()
    with (
        content.open("wb") as sink,
        subprocess.Popen(_archive(root), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as archive,
        subprocess.Popen(["zstd", "-q", "-1", "-T0"], stdin=subprocess.PIPE, stdout=sink) as packer,
    ):
        assert archive.stdout, archive.stderr  # noqa: S101
        assert packer.stdin  # noqa: S101
        while chunk := archive.stdout.read(_CHUNK):
            inner.update(chunk)
            packer.stdin.write(chunk)
        packer.stdin.close()
        said = archive.stderr.read().decode(errors="replace") if archive.stderr else ""
    for tool, status in (("tar", archive.returncode), ("zstd", packer.returncode)):
        if status:
            raise FailureError(failure([tool], status, said, where=f"packing {root}"))
    with content.open("rb") as packed:
        outer = hashlib.file_digest(packed, "sha256").hexdigest()
    return Layer(f"sha256:{outer}", f"sha256:{inner.hexdigest()}", content.stat().st_size, _ZSTD)


def _archive(root: Path) -> list[str]:
    return [
        "tar", "--create", f"--directory={root}", "--sort=name", "--mtime=@0", "--numeric-owner", "--xattrs",
        "--format=posix", "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
        "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", ".",
    ]  # fmt: skip


def _parents(path: str) -> list[PurePosixPath]:
    return list(PurePosixPath(path.lstrip("/")).parents)[:-1]


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
