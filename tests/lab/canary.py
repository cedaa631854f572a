"""Secrets that are like no other text, and the search for them wherever a run could have left them."""

import base64
import hashlib
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stackctl.lab import host
from stackctl.lab.shell import run
from tests.lab.node import Node

_SAMPLE_SECONDS = 0.05

# Patterns come on standard input and go through the shell's own printf: a search must not find itself.
_SAMPLE = """patterns=$(cat) looks=0
while [ ! -e /run/canary.end ]; do
  printf '%s\\n' "$patterns" | grep -lsaF -f - /proc/[0-9]*/cmdline /proc/[0-9]*/environ |
    while read -r file; do echo "$file: $(tr '\\0' ' ' <"$file")"; done
  looks=$((looks + 1))
  sleep 0.02
done
rm /run/canary.end
echo "looked $looks"
"""
_SEARCH = """cd /
set --
for each in /* /.[!.]*; do
  case $each in /proc | /sys) ;; *) [ -L "$each" ] || [ ! -e "$each" ] || set -- "$@" "$each" ;; esac
done
grep -rlasF -D skip -f - -- "$@" || true
"""


def hashes(content: bytes) -> list[str]:
    """What is as good as a short secret to who guesses."""
    digest = hashlib.sha256(content)
    return [digest.hexdigest(), base64.b64encode(digest.digest()).decode().rstrip("=")]


def forms(value: str) -> list[str]:
    """How a value can be there: in clear, as base64 wherever in a longer text it stands, hashed."""
    encoded = []
    for offset in range(3):
        whole = base64.b64encode(b"\0" * offset + value.encode()).decode().rstrip("=")
        encoded.append(whole[4 if offset else 0 : -1])  # the ends mix with what stands beside it
    return [value, *encoded, *hashes(value.encode())]


@dataclass
class Canary:
    """A one-host lab whose project names secrets, everything that its commands said, and who was seen with one."""

    node: Node
    values: Mapping[str, str]
    """Secrets by the way of their reference."""
    variable: str
    """Name of the variable that an `env:` reference reads: it alone may hold a secret in an environment."""
    environment: Mapping[str, str]
    home: Path
    """Where the commands keep what is theirs and not the project's."""
    patterns: list[str]
    said: list[tuple[str, str]] = field(default_factory=list)
    """What commands were called with and what they printed."""
    seen: set[str] = field(default_factory=set)
    """Processes, here and on the host, that were seen with a secret."""
    looks: list[int] = field(default_factory=list)
    """How often each watch has looked at processes, here and on the host."""

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """The real program, with the operator's environment."""
        return self.node.site.start(*words, environment=self.environment)

    def stackctl(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the real program to its end, under watch."""
        with self.watched():
            return self.ended(self.start(*words), words)

    def ended(
        self, process: "subprocess.Popen[str]", words: tuple[str, ...]
    ) -> "subprocess.CompletedProcess[str]":
        """Wait for a program and note what it said."""
        out, err = process.communicate(timeout=120)
        self.said.append((" ".join(words), out + err))
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look over and over at the arguments and environments of all processes, here and on the host."""
        over = threading.Event()
        here = threading.Thread(target=self._sample, args=(over,))
        here.start()
        with self._entering(_SAMPLE) as there:
            assert there.stdin is not None
            assert there.stdout is not None
            there.stdin.write("\n".join(self.patterns))
            there.stdin.close()
            try:
                yield
            finally:
                over.set()
                here.join()
                self.node.on("touch /run/canary.end")
                *found, looked = there.stdout.read().splitlines()
        self.seen.update(f"on the host {line}" for line in found)
        self.looks.append(int(looked.removeprefix("looked ")))

    def leaks(self) -> list[str]:
        """Every place but the host's files where a secret, or what gives it away, is found."""
        places = [f"printed by {words}" for words, text in self.said if self._in(text)]
        for folder in (self.node.site.folder, self.home):
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            assert files, folder
            places += [str(path) for path in files if self._in(path.read_text(errors="replace"))]
        journal = self.node.on("journalctl --quiet --no-pager --all --output=export")
        assert "_CMDLINE=" in journal
        places += ["the host's journal"] if self._in(journal) else []
        assert min(self.looks) > 0
        return places + sorted(self.seen)

    def files(self) -> list[str]:
        """Files of the host with a secret, or with what gives it away."""
        there = self.node.site.spec
        words = [*host.entering(there, there.host("node")), "sh", "-c", _SEARCH]
        return sorted(run(words, stdin="\n".join(self.patterns)).splitlines())

    def _in(self, text: str) -> bool:
        joined = text.replace("\n", "")  # base64 in lines
        return any(pattern in text or pattern in joined for pattern in self.patterns)

    def _entering(self, script: str) -> "subprocess.Popen[str]":
        there = self.node.site.spec
        words = [*host.entering(there, there.host("node")), "sh", "-c", script]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _sample(self, over: threading.Event) -> None:
        looks = 0
        while not over.wait(_SAMPLE_SECONDS) or not looks:
            looks += 1
            for process in Path("/proc").glob("[0-9]*"):
                arguments = _entries(process / "cmdline")
                variables = _entries(process / "environ")
                kept = [entry for entry in variables if not entry.startswith(f"{self.variable}=")]
                if self._in("\n".join([*arguments, *kept])):
                    self.seen.add(f"here {process.name}: {' '.join(arguments)}")
        self.looks.append(looks)


def _entries(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").split("\0")
    except OSError:  # it has ended
        return []
