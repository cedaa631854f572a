"""What files on a host are like."""

import base64
import io
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pyinfra.api import FactBase

from stackctl.ops.question import Kind, Question, lines_by
from stackctl.plan.compare import FileState

LARGEST_SHOWN = 256 * 1024
"""Bytes up to which a differing file is fetched for its diff."""

# Many files cost few processes, which is why their contents come as an archive. Nothing but a regular file is
# opened: reading a pipe or a device might never end.
_LOOK = """find @PATHS@ -maxdepth 0 -type l -exec sh -c 'for p; do
  printf "link\\t%s\\t%s\\n" "$(readlink -n -- "$p" | base64 -w0)" "$p"
done' sh {} + -o -printf 'is\\t%y\\t%m\\t%C@\\t%u/%g\\t%p\\n' 2>/dev/null
sums() { find @PATHS@ -maxdepth 0 -type f "$@" -exec sha256sum -z -- {} + 2>/dev/null | tr '\\0' '\\n'; }
set -- @WANTED@
sums -size -@ABOVE@c | {
  asked=
  while IFS= read -r line; do
    s=${line%% *} p=${line#*  }
    while [ $# -gt 2 ] && [ "$2" != "$p" ]; do shift 2; done
    case $1 in -|"$s") ;; *) asked="$asked$p
" ;; esac
    printf 'sum\\t%s\\t%s\\n' "$s" "$p"
    [ $# -eq 2 ] || shift 2
  done
  [ -z "$asked" ] || {
    printf 'contents\\t'
    printf %s "$asked" | tar -c -P --hard-dereference --no-recursion --verbatim-files-from -T - | base64 -w0
    echo
  }
}
sums ! -size -@ABOVE@c | while IFS= read -r line; do printf 'sum\\t%s\\t%s\\n' "${line%% *}" "${line#*  }"; done
""".replace("@ABOVE@", str(LARGEST_SHOWN + 1))


def _look(wanted: Sequence[tuple[str, str]]) -> str:
    paths = " ".join(shlex.quote(path) for path, _ in wanted)
    pairs = " ".join(f"{sha} {shlex.quote(path)}" for path, sha in wanted)
    return _LOOK.replace("@PATHS@", paths).replace("@WANTED@", pairs)


def _by_path(wanted: Sequence[tuple[str, str]], output: str) -> dict[tuple[str, str], str]:
    told = "".join(f"{line}\n" for line in _unpacked(output.splitlines()))
    lines = lines_by(lambda line: line.removesuffix("\n").rpartition("\t")[2], told)
    return {(path, sha): lines.get(path, "") for path, sha in wanted}


def _unpacked(lines: Iterable[str]) -> Iterator[str]:
    """A line for the content of each file in place of the one that holds them all."""
    for line in lines:
        tag, _, packed = line.partition("\t")
        if tag != "contents":
            yield line
            continue
        try:
            with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed))) as archive:
                for member in archive:
                    content = archive.extractfile(member)
                    if content is not None:
                        yield f"content\t{base64.b64encode(content.read()).decode()}\t{member.name}"
        except tarfile.TarError as error:
            raise ValueError("the contents of files came incomplete") from error


_FILES = Kind(_look, _by_path)


@dataclass(frozen=True)
class Found(FileState):
    """A file on a host, and when it was last touched."""

    changed: str = ""
    """Inode change time in seconds, to the nanosecond: tells that a secret changed without telling its hash."""


class Files(FactBase[dict[str, Found]]):
    """State of several files by path; absent ones are left out.

    Takes pairs of path and the sha256 that needs no content back (`-`: never any content).
    """

    def command(self, wanted: Sequence[tuple[str, str]]) -> Question:
        """Asked about all files at once."""
        return Question(_FILES, wanted)

    @staticmethod
    def default() -> dict[str, Found]:
        """Nothing there."""
        return {}

    def process(self, output: Iterable[str]) -> dict[str, Found]:
        """Lines of `find`, then of `sha256sum`, then the contents: `TAG ... PATH` with tabs between."""
        found: dict[str, Found] = {}
        for line in _unpacked(output):
            tag, *values, path = line.split("\t")
            if tag == "link":
                found[path] = Found("link", link=base64.b64decode(values[0]).decode(errors="replace"))
            elif tag == "is":
                found[path] = _state(*values)
            elif tag == "sum" and path in found:
                found[path] = replace(found[path], sha256=values[0])
            elif tag == "content" and path in found:
                found[path] = replace(found[path], content=_text(values[0]))
        return found


_KINDS = {
    "f": "file",
    "d": "directory",
    "p": "fifo",
    "s": "socket",
    "c": "character special file",
    "b": "block special file",
}


def _state(kind: str, mode: str, changed: str, names: str) -> Found:
    if kind != "f":
        return Found(_KINDS.get(kind, "special file"))
    owner, _, group = names.partition("/")
    return Found("file", int(mode, 8), owner, group, changed=changed)


def _text(encoded: str) -> str | None:
    try:
        return base64.b64decode(encoded).decode()
    except UnicodeDecodeError:
        return None
