"""The real apt, gpg and dpkg of Debian 13, in a folder of its own; needs root and the package mirror."""

import subprocess
from pathlib import Path

import pytest

from stackctl.engine.run import Run
from stackctl.lab.mirror import KEYRING, read_mirror
from tests.apt.flat import Key, Package, write
from tests.apt.vendor import preferences
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession

pytestmark = pytest.mark.lab

BODY = """
repository.repository(name="ask the repository", **spec["repository"])
apt.packages(name="install", names=spec["packages"])
hold.held(name="hold", names=["nvidia-fabricmanager"])
"""


ENTER = 'mount --rbind /proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$1" sh -s'
"""In a namespace of its own, so that nothing is left mounted."""


class Inside(LocalSession):
    """A shell whose root is another folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.head += "export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin\nunset APT_CONFIG\n"

    def open(self) -> None:
        self.shell = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self._send(self.head.encode())


@pytest.fixture(scope="module")
def trixie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian 13 with apt and gpg."""
    folder = tmp_path_factory.mktemp("trixie") / "root"
    archive = read_mirror().archive
    subprocess.run(
        [
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            "--variant=apt",
            "--include=gpg",
            f"--keyring={KEYRING}",
            "trixie",
            str(folder),
            archive,
        ],
        check=True,
    )
    (folder / "etc/apt/sources.list").unlink()
    return folder


@pytest.fixture
def vendor(trixie: Path, key: Key) -> Path:
    """A repository of two versions of real, empty packages inside it, and its key."""
    folder = trixie / "srv/nvidia"
    folder.mkdir(parents=True, exist_ok=True)
    packages = [
        Package("nvidia-fabricmanager", version)
        for version in ("580.126.09-1", "580.178.04-1", "590.48.01-1")
    ]
    write(
        folder, key, [_built(folder, package) for package in packages], origin="NVIDIA", label="NVIDIA CUDA"
    )
    key.write(folder / "key.pub", armored=True)
    return folder


def _built(folder: Path, package: Package) -> Package:
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
    (tree / "DEBIAN").chmod(0o755)
    control = package.paragraph().splitlines(keepends=True)
    (tree / "DEBIAN/control").write_text(
        "".join(line for line in control if line.partition(":")[0] not in ("Filename", "Size", "SHA256"))
    )
    path = folder / f"{package.name}_{package.version}_amd64.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(path)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return package.of(path)


def host(tmp_path: Path, trixie: Path, key: Key, *packages: str) -> Run:
    """Debian 13 that shall have packages of the repository."""
    repository = {
        "stem": "stackctl-cuda",
        "url": "copy:/srv/nvidia",
        "key_url": "copy:/srv/nvidia/key.pub",
        "fingerprint": key.fingerprint,
    }
    spec = {"repository": repository, "packages": packages}
    return one_host(tmp_path / "d", BODY, spec=spec, session=lambda _: Inside(trixie))


def versions(trixie: Path) -> str:
    """What dpkg and apt-mark there say."""
    return subprocess.run(
        [
            "chroot",
            str(trixie),
            "sh",
            "-c",
            "dpkg-query -W -f '${Version}' nvidia-fabricmanager; apt-mark showhold",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.usefixtures("vendor")
def test_a_pinned_driver_is_installed_held_and_moved_through_its_own_hold(
    tmp_path: Path, trixie: Path, key: Key
) -> None:
    pinned = trixie / "etc/apt/preferences.d/00stackctl-nvidia"
    pinned.write_text(preferences("nvidia", "580"))

    for name, wanted in [("first", "580.178.04-1"), ("back", "580.126.09-1")]:
        pinned.write_text(preferences("nvidia", wanted.removesuffix("-1")))
        run = host(tmp_path / name, trixie, key, f"nvidia-fabricmanager={wanted}")
        outcome = run.apply(run.plan()).hosts[0]
        run.close()

        assert (outcome.findings, outcome.left) == ((), ())
        assert versions(trixie) == f"{wanted}nvidia-fabricmanager\n"


def test_a_key_that_vouches_for_itself_with_sha1_is_told(tmp_path: Path, trixie: Path, vendor: Path) -> None:
    old = Key(tmp_path / "old", options=("--cert-digest-algo", "SHA1"))
    write(vendor, old, [Package("nvtop", "1")], origin="NVIDIA", label="NVIDIA CUDA")
    old.write(vendor / "key.pub", armored=True)
    old.end()
    run = host(tmp_path, trixie, old, "nvtop")

    (finding,) = run.apply(run.plan()).hosts[0].findings
    run.close()

    assert (
        finding.what
        == f"apt on this host refuses signatures of key {old.fingerprint}, which vouches for itself with SHA-1"
    )
