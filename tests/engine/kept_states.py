"""Packages, kernel settings and units that a host keeps, and what somebody can do to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.engine.folderhost import NEWEST
from tests.engine.keepings import Deeds, Entry, Keeping


@dataclass
class Packages(Keeping):
    """Packages, some of them at a version of their own."""

    pins: list[str | None]

    def _name(self, index: int | str) -> str:
        return f"pkg{self.number}-{index}"

    def entries(self) -> list[Entry]:
        names = [
            f"{self._name(index)}={pin}" if pin else self._name(index) for index, pin in enumerate(self.pins)
        ]
        return [Entry("apt.packages", f"install {self.number}", {"names": names})]

    def deeds(self) -> Mapping[str, Sequence[str]]:
        hows = ["removed", "purged", "another version", "held", "another version, held"]
        return {str(index): hows for index in range(len(self.pins))}

    def do(self, what: str, deed: str) -> None:
        path = self.host.root / "packages" / self._name(what)
        version = self.pins[int(what)] or NEWEST
        match deed:
            case "purged":
                path.unlink()
            case "removed":
                path.write_text(f"deinstall config-files {version}\n")
            case "held":
                path.write_text(f"hold installed {version}\n")
            case _:
                path.write_text(f"{'hold' if 'held' in deed else 'install'} installed 0.1\n")

    def _hit(self, deeds: Deeds) -> dict[str, str]:
        """Packages that an apply has to do with: nobody asked for the version of one without a pin."""
        return {
            index: deed
            for index, deed in deeds.items()
            if deed in ("removed", "purged") or (deed.startswith("another") and self.pins[int(index)])
        }

    def listed(self, deeds: Deeds) -> dict[str, Any]:
        hit = {index: deed.replace("purged", "removed") for index, deed in self._hit(deeds).items()}
        return {f"install {self.number}": hit} if hit else {}

    def drifted(self, deeds: Deeds) -> set[str]:
        return {f"package {self._name(index)}" for index, deed in deeds.items() if deed != "held"}

    def calls(self, listed: Mapping[str, Any], deeds: Deeds) -> set[str]:
        pins = {index: self.pins[int(index)] for index in self._hit(deeds)} if listed else {}
        return {
            f"install {self._name(index)}={pin}" if pin else f"install {self._name(index)}"
            for index, pin in pins.items()
        }

    def check(self, deeds: Deeds) -> None:
        for index, pin in enumerate(self.pins):
            deed = deeds.get(str(index), "")
            version = "0.1" if deed.startswith("another") and not pin else pin or NEWEST
            want = "hold" if "held" in deed else "install"
            text = (self.host.root / "packages" / self._name(index)).read_text()
            assert text == f"{want} installed {version}\n"


@dataclass
class Settings(Keeping):
    """Settings of the running kernel."""

    values: dict[str, str]

    def __post_init__(self) -> None:
        for key in self._keys():
            (self.host.root / "settings" / key).write_text("0\n")

    def _keys(self) -> dict[str, str]:
        return {f"net.s{self.number}.{key}": value for key, value in self.values.items()}

    def entries(self) -> list[Entry]:
        return [Entry("machine.sysctl", f"set {self.number}", {"values": self._keys()})]

    def deeds(self) -> Mapping[str, Sequence[str]]:
        return {key: ["changed", "with tabs"] for key in self._keys()}

    def do(self, what: str, deed: str) -> None:
        value = self._keys()[what].replace(" ", "\t") if deed == "with tabs" else "77"
        (self.host.root / "settings" / what).write_text(f"{value}\n")

    def _hit(self, deeds: Deeds) -> list[str]:
        return sorted(key for key, deed in deeds.items() if deed == "changed")

    def listed(self, deeds: Deeds) -> dict[str, Any]:
        return {f"set {self.number}": self._hit(deeds)} if self._hit(deeds) else {}

    def drifted(self, deeds: Deeds) -> set[str]:
        return {f"kernel setting {key}" for key in self._hit(deeds)}

    def calls(self, listed: Mapping[str, Any], deeds: Deeds) -> set[str]:
        return {f"set {key}={self._keys()[key]}" for key in self._hit(deeds)} if listed else set()

    def check(self, deeds: Deeds) -> None:
        del deeds
        for key, value in self._keys().items():
            found = (self.host.root / "settings" / key).read_text()
            assert found.split() == value.split()


@dataclass
class Reader(Keeping):
    """A unit that reads a file which is not ours."""

    verb: str

    def __post_init__(self) -> None:
        self.unit = f"{self.host.name}-reader-{self.number}.service"
        self.host.unit(self.unit)
        self.path = self.etc / f"foreign-{self.number}"
        self.path.write_text("theirs\n")

    def entries(self) -> list[Entry]:
        arguments = {"unit": self.unit, "reads": [str(self.path)], "on_change": self.verb}
        return [Entry("systemd.service", f"read {self.number}", arguments)]

    def deeds(self) -> Mapping[str, Sequence[str]]:
        return {"file": ["content", "gone", "mode"], "unit": ["stop", "fail", "disable", "restart"]}

    def do(self, what: str, deed: str) -> None:
        if what == "unit":
            self.host.disturb(self.unit, deed)
        elif deed == "content":
            self.path.write_text("by hand\n")
        elif deed == "gone":
            self.path.unlink()
        else:
            self.path.chmod(0o600)

    def _stale(self, deeds: Deeds) -> bool:
        """A unit that somebody has restarted since has read the file as it is."""
        return deeds.get("file", "mode") != "mode" and deeds.get("unit") != "restart"

    def listed(self, deeds: Deeds) -> dict[str, Any]:
        unit = deeds.get("unit", "restart")
        if unit == "restart" and not self._stale(deeds):
            return {}
        return {f"read {self.number}": (unit, self._stale(deeds) and unit not in ("stop", "fail"))}

    def drifted(self, deeds: Deeds) -> set[str]:
        return {f"unit {self.unit}"} if deeds.get("unit", "restart") != "restart" else set()

    def by_drift(self, deeds: Deeds) -> set[str]:
        # Nothing of its own has drifted where it only has to read anew.
        return {f"read {self.number}"} if self.drifted(deeds) else set()

    def calls(self, listed: Mapping[str, Any], deeds: Deeds) -> set[str]:
        if not listed:
            return set()
        unit = deeds.get("unit")
        found = {f"enable {self.unit}"} if unit == "disable" else set()
        if unit in ("stop", "fail"):
            found.add(f"restart {self.unit}")
        elif self._stale(deeds):
            found.add(f"{'reload-or-restart' if self.verb == 'reload' else 'restart'} {self.unit}")
        return found

    def check(self, deeds: Deeds) -> None:
        kept = self.host.unit(self.unit)
        assert (kept / "active").read_text() == "active\n"
        assert (kept / "enabled").read_text() == "enabled\n"
        found = self.path.read_text() if self.path.exists() else None
        assert found == {"content": "by hand\n", "gone": None}.get(deeds.get("file", ""), "theirs\n")
