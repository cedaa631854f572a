"""Signed repositories of empty packages: flat, as NVIDIA's is laid out, and with suites and components."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """One that exists in the list alone; what it would install is nobody's business here."""

    name: str
    version: str
    depends: str = ""
    source: str = ""
    provides: str = ""
    conflicts: str = ""
    size: int = 1000
    sha256: str = ""

    def of(self, path: Path) -> "Package":
        """The same, with a file of it."""
        content = path.read_bytes()
        return replace(self, size=len(content), sha256=hashlib.sha256(content).hexdigest())

    def paragraph(self) -> str:
        """As it stands in `Packages`."""
        fields = {
            "Package": self.name,
            "Source": self.source,
            "Version": self.version,
            "Architecture": "amd64",
            "Maintainer": "Nobody <nobody@example.org>",
            "Depends": self.depends,
            "Provides": self.provides,
            "Conflicts": self.conflicts,
            "Filename": f"./{self.name}_{self.version}_amd64.deb",
            "Size": str(self.size),
            "SHA256": self.sha256 or hashlib.sha256(f"{self.name} {self.version}".encode()).hexdigest(),
            "Description": self.name,
        }
        return "".join(f"{key}: {value}\n" for key, value in fields.items() if value)


class Key:
    """A throw-away signing key."""

    def __init__(self, home: Path, uid: str = "Test <test@example.org>", options: Sequence[str] = ()) -> None:
        home.mkdir(mode=0o700)
        self._home = home
        self.gpg(*options, "--quick-generate-key", uid, "ed25519", "sign", "never")
        rows = [line.split(":") for line in self.gpg("--list-keys", "--with-colons").decode().splitlines()]
        self.fingerprint = next(row[9] for row in rows if row[0] == "fpr")

    def gpg(self, *arguments: str) -> bytes:
        """An answer of gpg about this key."""
        command = ["gpg", "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback", *arguments]
        return subprocess.run(
            command, env={**os.environ, "GNUPGHOME": str(self._home)}, check=True, capture_output=True
        ).stdout

    def write(self, path: Path, *, armored: bool) -> None:
        """The public key, for whoever is to trust it."""
        path.write_bytes(self.gpg("--export", *(["--armor"] if armored else [])))

    def end(self) -> None:
        """End the agent that gpg started."""
        subprocess.run(
            ["gpgconf", "--kill", "all"], env={**os.environ, "GNUPGHOME": str(self._home)}, check=True
        )


def write(
    folder: Path,
    key: Key,
    packages: Sequence[Package],
    *,
    origin: str,
    label: str,
    listed: str = "Packages",
    fields: str = "",
) -> None:
    """A list of packages and a signed `InRelease` in the folder; with `listed` deeper and more fields, a suite's."""
    text = "\n".join(package.paragraph() for package in packages).encode()
    (folder / listed).parent.mkdir(parents=True, exist_ok=True)
    (folder / listed).write_bytes(text)
    release = folder / "Release"
    release.write_text(
        f"Origin: {origin}\nLabel: {label}\n{fields}Architectures: amd64\nDate: Tue, 24 Nov 2026 00:00:00 UTC\n"
        f"SHA256:\n {hashlib.sha256(text).hexdigest()} {len(text)} {listed}\n"
    )
    (folder / "InRelease").unlink(missing_ok=True)
    key.gpg("--clearsign", "-o", str(folder / "InRelease"), str(release))
