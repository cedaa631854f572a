"""Small fleets of hosts in folders, and what somebody does to them, drawn at random."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from stackctl.core.connection import Connection
from stackctl.core.job import Job, Part
from stackctl.engine.run import Run
from tests.engine.fleet import ALICE
from tests.engine.folderhost import FolderHost
from tests.engine.keepings import Deeds, Keeping
from tests.engine.kept_files import Directories, Files, Wanted
from tests.engine.kept_parts import Blocks, Keys
from tests.engine.kept_states import Packages, Reader, Settings

CAPABILITIES = ("base", "apps")

Planted = dict[tuple[str, int], Deeds]
"""What was done, by host and number of what is kept."""


@dataclass
class Fleet:
    """Hosts in folders, and what each is to keep."""

    deploys: Path
    hosts: dict[str, FolderHost]
    keepings: dict[str, list[Keeping]]

    def run(self) -> Run:
        """Connected, with today's wishes."""
        jobs = [
            Job(name, Connection(name, "192.0.2.1"), tuple(self._part(name, each) for each in CAPABILITIES))
            for name in self.hosts
        ]
        run = Run(
            "test", jobs, lambda name: self.deploys / f"{name}.py", lambda _: None, lambda: ALICE,
            new_session=lambda connection: self.hosts[connection.host].session(),
        )  # fmt: skip
        run.connect()
        return run

    def _part(self, host: str, capability: str) -> Part:
        ours = [each for each in self.keepings[host] if capability_of(each) == capability]
        return Part(capability, tuple(entry for each in ours for entry in each.entries()), ())

    def each(self) -> Iterator[tuple[str, Keeping]]:
        """All that is kept, in the order of the operations."""
        for host in sorted(self.hosts):
            yield from (
                (host, each) for each in sorted(self.keepings[host], key=lambda each: each.number % 2)
            )


def capability_of(keeping: Keeping) -> str:
    return CAPABILITIES[keeping.number % 2]


WORDS = st.sampled_from(["a", "b c", "port 80", "'quoted' $HOME", ""])
VALUES = st.one_of(
    st.booleans(), st.integers(0, 9), st.dictionaries(st.sampled_from("xyz"), st.booleans(), min_size=1)
)
FILES = st.builds(
    Wanted, WORDS.map(lambda word: f"{word}\n"), st.sampled_from([0o644, 0o600, 0o755]), st.booleans()
)
KINDS: dict[type[Keeping], dict[str, st.SearchStrategy[Any]]] = {
    Files: {
        "files": st.lists(FILES, min_size=1, max_size=3),
        "served": st.sampled_from([None, "restart", "reload"]),
        "told": st.booleans(),
    },
    Blocks: {
        "theirs": st.lists(WORDS, max_size=2),
        "blocks": st.lists(st.lists(WORDS, max_size=2), min_size=1, max_size=2),
    },
    Keys: {
        "values": st.dictionaries(st.sampled_from(["k", "l.m", "n"]), VALUES, min_size=1),
        "theirs": st.dictionaries(st.sampled_from("tu"), VALUES),
    },
    Directories: {"names": st.lists(st.sampled_from("abc"), unique=True, min_size=1)},
    Packages: {"pins": st.lists(st.sampled_from([None, "1.0", "2:2.0-1"]), min_size=1, max_size=3)},
    Settings: {"values": st.dictionaries(st.sampled_from("ab"), st.sampled_from(["1", "4 5 6"]), min_size=1)},
    Reader: {"verb": st.sampled_from(["restart", "reload"])},
}


def drawn(data: st.DataObject, folder: Path, deploys: Path) -> Fleet:
    """A small fleet on bare hosts."""
    hosts = {
        f"gpu{number}": FolderHost(folder, f"gpu{number}") for number in range(data.draw(st.integers(1, 3)))
    }
    keepings = {
        name: [
            kind(host, number, **{key: data.draw(strategy, key) for key, strategy in KINDS[kind].items()})
            for number, kind in enumerate(
                data.draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4), name)
            )
        ]
        for name, host in hosts.items()
    }
    return Fleet(deploys, hosts, keepings)


def planted(data: st.DataObject, fleet: Fleet, but: Planted | None = None) -> Planted:
    """Do something to some of the things that nothing was done to yet; returns all that was done."""
    done: Planted = {}
    for host, keeping in fleet.each():
        before = (but or {}).get((host, keeping.number), {})
        deeds = {
            what: data.draw(st.sampled_from([None, None, *ways]), f"{host} {keeping.number} {what}")
            for what, ways in keeping.deeds().items()
            if what not in before
        }
        new = {what: deed for what, deed in deeds.items() if deed is not None}
        # What is done to a file as a whole comes last.
        for what in sorted(new, key=lambda what: what == "file"):
            keeping.do(what, new[what])
        done[host, keeping.number] = {**before, **new}
    return done


def wanted_anew(data: st.DataObject, fleet: Fleet) -> set[tuple[str, str]]:
    """Want another content of some files; returns the hosts' capabilities that want something else now."""
    changed = set()
    for host, keeping in fleet.each():
        if isinstance(keeping, Files) and data.draw(st.booleans(), f"{host} {keeping.number} anew"):
            index = data.draw(st.integers(0, len(keeping.files) - 1))
            keeping.files[index] = replace(keeping.files[index], content="wanted anew\n")
            keeping.anew.add(index)
            changed.add((host, capability_of(keeping)))
    return changed
