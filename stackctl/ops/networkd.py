"""What systemd-networkd reads about interfaces that somebody else, such as netplan, has set up."""

import shlex
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyinfra.api import FactBase, operation
from pyinfra.context import host

from stackctl.core.artifact import Artifact
from stackctl.ops.step import Guard, Step
from stackctl.ops.trace import saw

FOLDER = "/etc/systemd/network"
NAME = "stackctl.conf"
"""Name of our links beside networkd's files."""
LINKS = "/run/systemd/netif/links"
"""Where networkd tells of interfaces, by their numbers."""


@dataclass(frozen=True)
class Described:
    """How networkd knows an interface."""

    file: str
    """The `.network` file that it took; netplan names it for an entry of its own, which may match by address."""
    link: str | None
    """Where our link beside that file leads; None: there is none."""

    @property
    def beside(self) -> str:
        """Where more about the interface is read."""
        return f"{FOLDER}/{self.file.rpartition('/')[2]}.d/{NAME}"


class Describing(FactBase[dict[str, Described]]):
    """How networkd knows interfaces; those that it does not look after are left out."""

    def command(self, interfaces: Sequence[str]) -> str:
        """`INTERFACE FILE LINK` a line, as networkd and the file system tell it."""
        return (
            f"for i in {' '.join(map(shlex.quote, interfaces))}; do\n"
            '  n=$(cat "/sys/class/net/$i/ifindex" 2>/dev/null) || continue\n'
            f'  f=$(sed -n "s/^NETWORK_FILE=//p" "{LINKS}/$n" 2>/dev/null)\n'
            f'  [ -z "$f" ] || printf \'%s %s %s\\n\' "$i" "$f" "$(readlink "{FOLDER}/${{f##*/}}.d/{NAME}")"\n'
            "done; true"
        )

    @staticmethod
    def default() -> dict[str, Described]:
        """None that it looks after."""
        return {}

    def process(self, output: Iterable[str]) -> dict[str, Described]:
        """Paths of ours and of netplan's have no spaces."""
        rows = (line.split(" ") for line in output if line.count(" ") == 2)
        return {interface: Described(file, link or None) for interface, file, link in rows}


@operation()
def extended(settings: Mapping[str, Artifact], guard: Guard | None = None) -> Generator[Step, None, None]:
    """Have networkd read our file about each interface too, whatever the name of the one that it took for it.

    Where one file is taken for two interfaces, the first one's is read for both.
    """
    found = host.get_fact(Describing, interfaces=sorted(settings)) if settings else {}
    taken: set[str] = set()
    for interface, artifact in settings.items():
        described = found.get(interface)
        if described is None or described.file in taken:
            continue
        taken.add(described.file)
        saw(f"link {described.beside}", **({"target": described.link} if described.link else {}))
        if described.link != artifact.path:
            folder, link = shlex.quote(described.beside.rpartition("/")[0]), shlex.quote(described.beside)
            yield Step(
                f"mkdir -p -- {folder} && ln -sfT -- {shlex.quote(artifact.path)} {link}",
                reason=f"have networkd read {artifact.path} beside {described.file}",
                action="add",
                guard=guard,
            )
