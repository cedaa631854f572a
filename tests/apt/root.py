"""A root of apt's own, whose resolver answers for another host and touches nothing of this one."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from stackctl.lab.mirror import KEYRING, read_mirror

CONF = """Dir::State "{root}/var/lib/apt";
Dir::State::status "{root}/var/lib/dpkg/status";
Dir::Cache "{root}/var/cache/apt";
Dir::Etc "{root}/etc/apt";
Dir::Etc::trustedparts "{root}/etc/apt/trusted.gpg.d";
Dir::Log "{root}/var/log/apt";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
Acquire::Languages "none";
"""

COMPONENTS = "main contrib non-free non-free-firmware"


class Root:
    """An apt without packages, sources or preferences, until it is given some."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in (
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/lib/dpkg",
            "var/log/apt",
        ):
            (folder / path).mkdir(parents=True)
        for path in ("preferences.d", "sources.list.d", "apt.conf.d", "trusted.gpg.d"):
            (folder / "etc/apt" / path).mkdir(parents=True)
        (folder / "var/lib/dpkg/status").touch()
        self.conf = folder / "apt.conf"
        self.conf.write_text(CONF.format(root=folder))

    def debian(self, suite: str) -> None:
        """The real Debian, from where this machine has its own."""
        mirror = read_mirror()
        lines = [line.removesuffix(" main") for line in mirror.sources(suite)]
        signed = [line.replace("deb ", f"deb [signed-by={KEYRING}] ", 1) for line in lines]
        proxy = f'Acquire::http::Proxy "{mirror.proxy}";\n' if mirror.proxy else ""
        (self.folder / "etc/apt/apt.conf.d/proxy").write_text(proxy)
        self.source("debian", *(f"{line} {COMPONENTS}" for line in signed))

    def source(self, name: str, *lines: str) -> None:
        """A list of sources."""
        (self.folder / f"etc/apt/sources.list.d/{name}.list").write_text(
            "".join(f"{line}\n" for line in lines)
        )

    def preferences(self, text: str) -> None:
        """What apt is to prefer."""
        (self.folder / "etc/apt/preferences.d/00stackctl-nvidia").write_text(text)

    def installed(self, *packages: str) -> None:
        """Have apt believe that `name=version` are installed."""
        paragraphs = [
            f"Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: amd64\nMaintainer: x\nDescription: x\n"
            for name, _, version in (package.partition("=") for package in packages)
        ]
        (self.folder / "var/lib/dpkg/status").write_text("\n".join(paragraphs))

    def update(self) -> None:
        """Read the sources' lists."""
        done = self._apt("update", "-q", "-o", "APT::Update::Error-Mode=any")
        assert done.returncode == 0, done.stdout

    def install(self, *names: str) -> dict[str, str]:
        """Versions by name of what an install of these would bring; AssertionError where it cannot be."""
        done = self._apt(
            "install", "--simulate", "--no-install-recommends", "--allow-downgrades", "-y", *names
        )
        assert done.returncode == 0, done.stdout
        rows = [line.split() for line in done.stdout.splitlines() if line.startswith("Inst ")]
        return {
            name: next(word for word in rest if word.startswith("(")).lstrip("(") for _, name, *rest in rows
        }

    def refusal(self, *names: str) -> str:
        """Why these cannot be installed."""
        done = self._apt("install", "--simulate", "--no-install-recommends", "-y", *names)
        assert done.returncode != 0, done.stdout
        return done.stdout

    def environment(self) -> dict[str, str]:
        """What programs need in order to use this apt."""
        return {"APT_CONFIG": str(self.conf), "LC_ALL": "C"}

    def _apt(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return run(["apt-get", *arguments], self.environment())


def run(command: Sequence[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """A program with both its outputs in one."""
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
