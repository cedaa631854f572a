"""Files and directories that a host keeps, and what somebody can do to them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackctl.core.artifact import Artifact
from stackctl.core.secret import SecretRef
from tests.engine.keepings import Deeds, Entry, Keeping

SECRET = "hunter22"
"""What `env:PLANTED` gives."""


@dataclass(frozen=True)
class Wanted:
    """A file of a `Files`."""

    content: str
    mode: int = 0o644
    secret: bool = False


@dataclass
class Files(Keeping):
    """Files written by one operation, with a unit that reads them and a command that follows them."""

    files: list[Wanted]
    served: str | None = None
    """`restart` or `reload`: what the unit needs when they change."""
    told: bool = False
    anew: set[int] = field(default_factory=set)
    """Files that are wanted otherwise than at the last apply."""

    def __post_init__(self) -> None:
        self.unit = f"{self.host.name}-{self.number}.service"
        if self.served:
            self.host.unit(self.unit)

    def path(self, index: int | str) -> Path:
        return self.etc / f"app {self.number}" / f"{index}.conf"

    def _artifact(self, index: int) -> Artifact:
        file = self.files[index]
        refs = (SecretRef("env", "PLANTED"),) if file.secret else ()
        content = file.content + "".join(ref.placeholder for ref in refs)
        return Artifact(str(self.path(index)), content, mode=file.mode, secrets=refs)

    def entries(self) -> list[Entry]:
        write = f"write {self.number}"
        paths = [str(self.path(index)) for index in range(len(self.files))]
        artifacts = tuple(self._artifact(index) for index in range(len(self.files)))
        found = [Entry("files.write", write, {"artifacts": artifacts})]
        if self.served:
            unit = {"unit": self.unit, "reads": paths, "on_change": self.served}
            found.append(Entry("systemd.service", f"run {self.number}", unit, write))
        if self.told:
            command = f"echo told {self.number} >>{self.host.root}/calls"
            found.append(Entry("shell", f"tell {self.number}", {"commands": [command]}, write))
        return found

    def deeds(self) -> Mapping[str, Sequence[str]]:
        listed = {
            str(index): ["content", "gone", "mode", "owner", "link", "fifo", "same again"]
            for index in range(len(self.files))
        }
        return listed | ({"unit": ["stop", "fail", "disable", "restart"]} if self.served else {})

    def do(self, what: str, deed: str) -> None:
        if what == "unit":
            self.host.disturb(self.unit, deed)
            return
        path = self.path(what)
        if deed == "content":
            path.write_text("by hand\n")
        elif deed == "same again":
            path.write_text(path.read_text())
        elif deed == "mode":
            path.chmod(0o666)
        elif deed == "owner":
            os.chown(path, 65534, 65534)
        else:
            content = path.read_text()
            path.unlink()
            if deed == "link":
                elsewhere = path.with_name(f"{what}.elsewhere")
                elsewhere.write_text(content)
                path.symlink_to(elsewhere)
            elif deed == "fifo":
                os.mkfifo(path)

    def listed(self, deeds: Deeds) -> dict[str, Any]:
        files = {
            index: (deeds.get(str(index)), index in self.anew, self.files[index].secret)
            for index in range(len(self.files))
            if index in self.anew or deeds.get(str(index), "same again") != "same again"
        }
        found: dict[str, Any] = {f"write {self.number}": files} if files else {}
        unit = deeds.get("unit", "restart")
        if self.served and (files or unit != "restart"):
            found[f"run {self.number}"] = (unit, sorted(files))
        if self.told and files:
            found[f"tell {self.number}"] = True
        return found

    def drifted(self, deeds: Deeds) -> set[str]:
        things = {
            f"file {self.path(index)}"
            for index, file in enumerate(self.files)
            if str(index) in deeds and (file.secret or deeds[str(index)] != "same again")
        }
        return things | ({f"unit {self.unit}"} if deeds.get("unit", "restart") != "restart" else set())

    def by_drift(self, deeds: Deeds) -> set[str]:
        drifted = self.drifted(deeds)
        follow = bool(drifted - {f"unit {self.unit}"})
        unit = {f"run {self.number}"} if drifted else set()
        return unit | ({f"write {self.number}", f"tell {self.number}"} if follow else set())

    def calls(self, listed: Mapping[str, Any], deeds: Deeds) -> set[str]:
        found = {f"told {self.number}"} if f"tell {self.number}" in listed else set()
        if f"run {self.number}" in listed:
            deed = deeds.get("unit")
            if deed == "disable":
                found.add(f"enable {self.unit}")
            if deed != "disable" or f"write {self.number}" in listed:
                reload = self.served == "reload" and deed not in ("stop", "fail")
                found.add(f"{'reload-or-restart' if reload else 'restart'} {self.unit}")
        return found

    def check(self, deeds: Deeds) -> None:
        for index, file in enumerate(self.files):
            path = self.path(index)
            assert path.is_file()
            assert not path.is_symlink()
            assert path.read_text() == file.content + (SECRET if file.secret else "")
            found = path.stat()
            assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (file.mode, 0, 0)
            if deeds.get(str(index)) == "link":
                assert path.with_name(f"{index}.elsewhere").exists()
        if self.served:
            kept = self.host.unit(self.unit)
            assert (kept / "active").read_text() == "active\n"
            assert (kept / "enabled").read_text() == "enabled\n"


@dataclass
class Directories(Keeping):
    """Directories, whatever is in them and whoever owns them."""

    names: list[str]

    def entries(self) -> list[Entry]:
        return [Entry("files.directories", f"make {self.number}", {"paths": self._paths()})]

    def _paths(self) -> list[str]:
        return [str(self.etc / f"made {self.number}" / name) for name in self.names]

    def deeds(self) -> Mapping[str, Sequence[str]]:
        return {path: ["gone", "mode", "moved behind a link"] for path in self._paths()}

    def do(self, what: str, deed: str) -> None:
        path = Path(what)
        if deed == "mode":
            path.chmod(0o700)
        elif deed == "gone":
            path.rmdir()
        else:
            path.rename(path.with_suffix(".elsewhere"))
            path.symlink_to(path.with_suffix(".elsewhere"))

    def listed(self, deeds: Deeds) -> dict[str, Any]:
        gone = [path for path, deed in deeds.items() if deed == "gone"]
        return {f"make {self.number}": sorted(gone)} if gone else {}

    def drifted(self, deeds: Deeds) -> set[str]:
        return {f"directory {path}" for path, deed in deeds.items() if deed == "gone"}

    def check(self, deeds: Deeds) -> None:
        for path in map(Path, self._paths()):
            deed = deeds.get(str(path))
            assert path.is_dir()
            assert path.is_symlink() == (deed == "moved behind a link")
            assert path.stat().st_mode & 0o777 == (0o700 if deed == "mode" else 0o755)
