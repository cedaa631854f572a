"""Blocks and JSON keys that a host keeps in files of others, and what somebody can do to them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.engine.keepings import Deeds, Entry, Keeping


@dataclass
class Blocks(Keeping):
    """Blocks of ours in a file that others write to."""

    theirs: list[str]
    blocks: list[list[str]]

    def __post_init__(self) -> None:
        self.path = self.etc / f"hosts-{self.number}"
        if self.theirs:
            self.path.write_text("".join(f"{line}\n" for line in self.theirs))

    def _block(self, index: int) -> str:
        rows = [f"# stackctl m{index}: begin", *self.blocks[index], f"# stackctl m{index}: end"]
        return "".join(f"{row}\n" for row in rows)

    def entries(self) -> list[Entry]:
        return [
            Entry(
                "files.block",
                f"block {self.number}-{index}",
                {"path": str(self.path), "marker": f"m{index}", "lines": lines},
            )
            for index, lines in enumerate(self.blocks)
        ]

    def deeds(self) -> Mapping[str, Sequence[str]]:
        blocks = {str(index): ["inside", "removed", "end lost"] for index in range(len(self.blocks))}
        return {"file": ["outside", "mode", "gone"], **blocks}

    def do(self, what: str, deed: str) -> None:
        text = self.path.read_text() if self.path.exists() else ""
        if what != "file":
            block = self._block(int(what))
            after = {
                "inside": block.replace(": begin\n", ": begin\nby hand\n"),
                "removed": "",
                "end lost": block.rsplit("#", 1)[0],
            }
            text = text.replace(block, after[deed])
        if deed == "outside":
            text = f"above\n{text}below\n"
        if (what, deed) == ("file", "gone"):
            self.path.unlink()
        elif deed == "mode":
            self.path.chmod(0o640)
        elif self.path.exists():
            self.path.write_text(text)

    def _hit(self, deeds: Deeds) -> list[int]:
        gone = deeds.get("file") == "gone"
        return [index for index in range(len(self.blocks)) if gone or str(index) in deeds]

    def listed(self, deeds: Deeds) -> dict[str, Any]:
        return {f"block {self.number}-{index}": _visible(deeds) for index in self._hit(deeds)}

    def drifted(self, deeds: Deeds) -> set[str]:
        return {f"block m{index} in {self.path}" for index in self._hit(deeds)}

    def check(self, deeds: Deeds) -> None:
        text = self.path.read_text()
        for index in range(len(self.blocks)):
            assert text.count(self._block(index)) == 1
            text = text.replace(self._block(index), "")
        gone = deeds.get("file") == "gone"
        theirs = "" if gone else "".join(f"{line}\n" for line in self.theirs)
        lost = "".join(
            self._block(index).rsplit("#", 1)[0]
            for index in range(len(self.blocks))
            if not gone and deeds.get(str(index)) == "end lost"
        )
        if deeds.get("file") == "outside":
            assert text == f"above\n{theirs}{lost}below\n"
        else:
            assert text == theirs + lost
        mode = 0o640 if deeds.get("file") == "mode" else 0o644
        assert self.path.stat().st_mode & 0o777 == mode


@dataclass
class Keys(Keeping):
    """Keys of ours in a JSON file that others write to."""

    values: dict[str, Any]
    theirs: dict[str, Any]

    def __post_init__(self) -> None:
        self.path = self.etc / f"daemon-{self.number}.json"
        if self.theirs:
            self.path.write_text(json.dumps(self.theirs))

    def entries(self) -> list[Entry]:
        return [
            Entry("files.merge_json", f"merge {self.number}", {"path": str(self.path), "values": self.values})
        ]

    def deeds(self) -> Mapping[str, Sequence[str]]:
        return {
            "file": ["theirs", "other format", "mode", "gone"],
            **{key: ["changed", "alike", "removed"] for key in self.values},
        }

    def do(self, what: str, deed: str) -> None:
        if (what, deed) == ("file", "gone"):
            self.path.unlink()
        elif deed == "mode":
            self.path.chmod(0o600)
        elif self.path.exists():
            values = json.loads(self.path.read_text())
            if deed == "theirs":
                values |= {"by hand": [1, True, None]}
            elif deed == "removed":
                del values[what]
            elif deed != "other format":
                values[what] = _alike(values[what]) if deed == "alike" else ["by hand"]
            self.path.write_text(json.dumps(values, indent=7 if deed == "other format" else None))

    def _hit(self, deeds: Deeds) -> dict[str, str]:
        if deeds.get("file") == "gone":
            return dict.fromkeys(self.values, "gone")
        return {key: deed for key, deed in deeds.items() if key != "file"}

    def listed(self, deeds: Deeds) -> dict[str, Any]:
        return {f"merge {self.number}": _visible(deeds)} if self._hit(deeds) else {}

    def drifted(self, deeds: Deeds) -> set[str]:
        ways = {
            f"{key}.{inner}" if isinstance(value, dict) else key
            for key, value in self.values.items()
            if key in self._hit(deeds)
            for inner in (value if isinstance(value, dict) else [""])
        }
        return {f"key {way} in {self.path}" for way in ways}

    def check(self, deeds: Deeds) -> None:
        gone = deeds.get("file") == "gone"
        theirs = {} if gone else dict(self.theirs)
        if deeds.get("file") == "theirs":
            theirs |= {"by hand": [1, True, None]}
        found = json.loads(self.path.read_text())
        assert json.dumps(found, sort_keys=True) == json.dumps(theirs | self.values, sort_keys=True)
        assert self.path.stat().st_mode & 0o777 == (0o600 if deeds.get("file") == "mode" else 0o644)


def _visible(deeds: Deeds) -> Deeds:
    """What makes a difference to a file that is written anew, and keeps its mode."""
    if deeds.get("file") == "gone":
        return {"file": "gone"}
    return {what: deed for what, deed in deeds.items() if (what, deed) != ("file", "mode")}


def _alike(value: Any) -> Any:
    """Another JSON value that Python holds to be the same."""
    if isinstance(value, dict):
        return {key: _alike(inner) for key, inner in value.items()}
    return int(value) if isinstance(value, bool) else float(value)
