"""What other ways of installing the driver left: named, and removed only when that is asked."""

from pathlib import Path

import pytest

from stackctl.engine.run import Run
from tests.apt.flat import Key
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program

OURS = ["stackctl-cuda", "stackctl-nvidia-toolkit"]
NVIDIA = "cudatools <cudatools@nvidia.com>"
DEBIAN = "Debian NVIDIA Maintainers <pkg-nvidia-devel@lists.alioth.debian.org>"
UBUNTU = "Ubuntu Core Developers <ubuntu-devel-discuss@lists.ubuntu.com>"


class Host:
    """A tree of files, and a dpkg that knows some packages."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.root = tmp_path / "root"
        self.root.mkdir()
        self.calls = tmp_path / "calls"
        self.calls.touch()
        self.packages = tmp_path / "packages"
        self.packages.touch()
        program(tmp_path / "bin", "dpkg-query", f"cat {self.packages}; exit 1")
        program(
            tmp_path / "bin",
            "apt-get",
            f'echo "apt-get $*" >>{self.calls}; for p; do sed -i "/^package\t$p\t/d" {self.packages}; done',
        )

    def file(self, path: str, text: str = "") -> Path:
        """A file below the root."""
        found = self.root / path
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_text(text)
        return found

    def uninstaller(self, path: str) -> Path:
        """A program that takes itself away, and notes how it was called."""
        folder, _, name = path.rpartition("/")
        program(self.root / folder, name, f'echo "{name} $*" >>{self.calls}; rm -f "$0"')
        return self.root / path

    def package(self, name: str, version: str, maintainer: str, state: str = "installed") -> None:
        """A package, as dpkg-query lists it."""
        with self.packages.open("a") as file:
            file.write(f"package\t{name}\t{state} {version} {maintainer}\n")

    def run(self, *, remove: bool, source: str = "nvidia") -> Run:
        """A run that looks for leftovers."""
        spec = {"spec_source": source, "remove": remove, "ours": OURS, "root": str(self.root)}
        body = "leftovers.leftovers(name='look', **spec)"
        return one_host(
            self.tmp_path / "d", body, spec=spec, session=lambda _: LocalSession(self.tmp_path / "bin")
        )

    def findings(self, source: str = "nvidia") -> list[str]:
        """Where and what of the findings of a plan, with the root left out."""
        run = self.run(remove=False, source=source)
        found = run.plan().findings
        run.close()
        assert all(
            finding.hint == "remove it on the host, or have it removed: `driver: {leftovers: remove}`"
            for finding in found
        )
        return [finding.what.replace(str(self.root), "") for finding in found]

    def removed(self) -> list[str]:
        """Reasons of an apply that removes, after which nothing is left to do."""
        run = self.run(remove=True)
        plan = run.plan()
        outcome = run.apply(plan).hosts[0]
        run.close()
        assert (outcome.findings, outcome.left) == ((), ())
        return [change.reason.replace(str(self.root), "") for change in plan.hosts[0].changes]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_clean_host_has_nothing_to_be_told(host: Host) -> None:
    host.file("etc/apt/sources.list.d/debian.sources", "Types: deb\nURIs: http://deb.debian.org/debian\n")
    host.file(
        "etc/apt/sources.list.d/stackctl-cuda.sources",
        "URIs: https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64/\n",
    )
    host.package("nvidia-driver-cuda", "580.178.04-1", NVIDIA)
    host.package("nvidia-container-toolkit", "1.20.0-1", NVIDIA)
    host.package("nvidia-support", "20240109+1", DEBIAN)

    assert host.findings() == []
    assert host.removed() == []


def test_a_driver_of_nvidias_installer_is_named_and_uninstalled_by_itself(host: Host) -> None:
    path = host.uninstaller("usr/bin/nvidia-uninstall")
    assert host.findings() == [
        "/usr/bin/nvidia-uninstall: is of a driver that NVIDIA's installer put there, past apt"
    ]

    assert host.removed() == ["remove /usr/bin/nvidia-uninstall"]

    assert host.calls.read_text() == "nvidia-uninstall --silent\n"
    assert not path.exists()


def test_a_driver_whose_uninstaller_is_gone_is_left_to_people(host: Host) -> None:
    path = host.file("var/lib/nvidia/log", "1.1: NVIDIA-Linux-x86_64-570.124.06\n")
    run = host.run(remove=True)

    (finding,) = run.apply(run.plan()).hosts[0].findings

    assert finding.what.startswith("its uninstaller is gone: run the same NVIDIA-Linux-")
    assert path.exists()


def test_a_toolkit_of_nvidias_installer_is_named_and_uninstalled_by_itself(host: Host) -> None:
    host.uninstaller("usr/local/cuda-12.4/bin/cuda-uninstaller")
    assert host.findings() == [
        "/usr/local/cuda-12.4/bin/cuda-uninstaller: is of a CUDA toolkit that NVIDIA's installer put there, past apt"
    ]

    host.removed()

    assert host.calls.read_text() == "cuda-uninstaller --silent\n"


LISTS = [
    (
        "cuda-debian12-x86_64.list",
        "deb [signed-by=/k] https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64/ /\n",
    ),
    ("nvidia-docker.list", "deb https://nvidia.github.io/nvidia-docker/debian10/$(ARCH) /\n"),
    ("libnvidia-container.list", "deb https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH) /\n"),
    (
        "graphics-drivers-ubuntu-ppa-jammy.list",
        "deb https://ppa.launchpadcontent.net/graphics-drivers/ppa/ubuntu/ jammy main\n",
    ),
    (
        "graphics.sources",
        "Types: deb\nURIs: https://ppa.launchpadcontent.net/graphics-drivers/ppa/ubuntu/\nSuites: noble\n",
    ),
    ("nvidia-driver-local-debian12-580.list", "deb file:/var/nvidia-driver-local-repo-debian12-580 /\n"),
]


@pytest.mark.parametrize(("name", "text"), LISTS)
def test_a_list_of_another_way_is_named_and_removed(host: Host, name: str, text: str) -> None:
    path = host.file(f"etc/apt/sources.list.d/{name}", text)
    (told,) = host.findings()
    assert told.startswith(f"/etc/apt/sources.list.d/{name}: has apt ask ")

    assert host.removed() == [f"remove /etc/apt/sources.list.d/{name}"]

    assert not path.exists()


def test_of_a_list_with_others_only_nvidias_line_goes(host: Host) -> None:
    path = host.file("etc/apt/sources.list", "deb http://deb.debian.org/debian bookworm main\n" + LISTS[0][1])

    host.removed()

    assert path.read_text() == "deb http://deb.debian.org/debian bookworm main\n"


def test_a_paragraph_among_others_is_left_to_people(host: Host) -> None:
    text = "URIs: https://nvidia.github.io/libnvidia-container/stable/deb/amd64/\n\nURIs: http://deb.debian.org/debian\n"
    path = host.file("etc/apt/sources.list.d/all.sources", text)
    run = host.run(remove=True)

    (finding,) = run.apply(run.plan()).hosts[0].findings

    assert finding.what.endswith("too: take NVIDIA's paragraph out by hand")
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("source", "package", "strange"),
    [
        ("nvidia", ("nvidia-kernel-dkms", "550.163.01-2", DEBIAN), True),
        ("nvidia", ("nvidia-kernel-dkms", "580.178.04-1", NVIDIA), False),
        ("distribution", ("nvidia-kernel-dkms", "580.178.04-1", NVIDIA), True),
        ("distribution", ("nvidia-kernel-dkms", "550.163.01-2", DEBIAN), False),
        ("distribution", ("nvidia-utils-580", "580.65.06-0ubuntu0~gpu24.04.1", UBUNTU), True),
        ("distribution", ("nvidia-utils-580-server", "580.126.09-0ubuntu0.24.04.1", UBUNTU), False),
        ("nvidia", ("cuda-keyring", "1.1-1", NVIDIA), True),
        ("none", ("nvidia-driver-cuda", "580.178.04-1", NVIDIA), True),
        ("existing", ("nvidia-kernel-dkms", "550.163.01-2", DEBIAN), False),
        ("distribution", ("nvidia-container-toolkit", "1.20.0-1", NVIDIA), False),
    ],
)
def test_packages_are_strange_where_the_wanted_source_did_not_make_them(
    host: Host, source: str, package: tuple[str, str, str], *, strange: bool
) -> None:
    host.package(*package)

    assert bool(host.findings(source)) == strange


def test_packages_of_the_other_source_are_purged_though_held(host: Host) -> None:
    host.package("nvidia-kernel-dkms", "550.163.01-2", DEBIAN)
    host.package("libcuda1", "550.163.01-2", DEBIAN)
    host.package("nvidia-smi", "550.163.01-2", DEBIAN, state="config-files")

    assert host.removed() == ["remove nvidia-kernel-dkms, libcuda1"]

    assert host.calls.read_text() == (
        "apt-get purge -q -y --allow-change-held-packages nvidia-kernel-dkms libcuda1\n"
    )


def test_a_key_that_apt_trusts_for_everything_goes_and_the_others_of_its_ring_stay(
    host: Host, tmp_path: Path
) -> None:
    nvidia = Key(tmp_path / "nvidia", "cudatools <cudatools@nvidia.com>")
    other = Key(tmp_path / "other", "Somebody <somebody@example.org>")
    ring = host.file("etc/apt/trusted.gpg")
    ring.write_bytes(nvidia.gpg("--export") + other.gpg("--export"))
    assert host.findings() == [
        f"/etc/apt/trusted.gpg: has apt trust key {nvidia.fingerprint} for every repository"
    ]

    host.removed()

    left = nvidia.gpg("--show-keys", "--with-colons", str(ring)).decode()
    assert other.fingerprint in left
    assert nvidia.fingerprint not in left
    nvidia.end()
    other.end()


def test_all_findings_come_at_once(host: Host) -> None:
    host.uninstaller("usr/bin/nvidia-uninstall")
    host.file("etc/apt/sources.list.d/nvidia-docker.list", LISTS[1][1])
    host.package("libcuda1", "550.163.01-2", DEBIAN)

    assert len(host.findings()) == 3
