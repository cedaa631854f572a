"""The program that fetches weights, against model hubs on loopback."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from stackctl import agents
from tests.agents.hub import CONTENT, Hub, running, sha256
from tests.ops.programs import program

PROGRAM = Path(agents.__file__).with_name("fetch_weights.sh")
MODEL = CONTENT["sub/model.safetensors"]
NOBODY = "http://127.0.0.1:1/a/b/resolve/c"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Host:
    """A place for weights, and what is to come there."""

    def __init__(self, folder: Path, *sources: tuple[str, str], files: Mapping[str, bytes] = CONTENT) -> None:
        self.folder = folder
        self.target = folder / "weights/hub/a/b/c"
        self.partial = folder / "weights/hub/.partial/a/b/c"
        self.report = folder / "run/report"
        lines = [f"weights {folder}/other", f"from gone {NOBODY}", f"file 1 {'0' * 64} other"]
        lines += [f"weights {self.target}", *(f"from {name} {base}" for name, base in sources)]
        lines += [f"file {len(content)} {sha256(content)} {path}" for path, content in files.items()]
        (folder / "manifest").write_text("# a comment\n" + "\n".join(lines) + "\n")
        program(folder / "bin", "sleep", "exit 0")

    def start(self) -> "subprocess.Popen[str]":
        environment = {**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        words = ["sh", str(PROGRAM), f"{self.folder}/manifest", str(self.target), str(self.report)]
        return subprocess.Popen(
            words, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )

    def fetch(self) -> tuple[int, list[str]]:
        """Exit status, and what it says."""
        with self.start() as process:
            _, err = process.communicate(timeout=60)
        return process.returncode, err.splitlines()

    def there(self) -> dict[str, bytes]:
        """Files of the directory; none where it is not there."""
        return {
            path.relative_to(self.target).as_posix(): path.read_bytes()
            for path in self.target.rglob("*")
            if path.is_file()
        }

    def kept(self) -> list[str]:
        """What is kept of a directory that is not whole."""
        return sorted(
            path.relative_to(self.partial).as_posix() for path in self.partial.rglob("*") if path.is_file()
        )


def of(hub: Hub) -> tuple[str, str]:
    return ("hub", hub.base)


def test_a_directory_appears_with_all_its_files_and_nothing_else_is_left(tmp_path: Path) -> None:
    with running() as hub:
        host = Host(tmp_path, of(hub))

        assert host.fetch() == (0, [])

    assert host.there() == CONTENT
    assert sorted(path.name for path in (tmp_path / "weights/hub/.partial/a").rglob("*")) == ["b"]
    assert {path.stat().st_mode & 0o777 for path in host.target.rglob("*") if path.is_file()} == {0o644}


def test_what_is_there_is_not_asked_for_again(tmp_path: Path) -> None:
    with running() as hub:
        host = Host(tmp_path, of(hub))
        host.fetch()
        asked = len(hub.asked)

        assert host.fetch() == (0, [])
        assert len(hub.asked) == asked == 2  # an empty file needs no request


def test_a_connection_that_is_cut_is_gone_on_with_where_it_was(tmp_path: Path) -> None:
    with running(Hub(cut=[100_000, 200_000])) as hub:
        host = Host(tmp_path, of(hub))

        assert host.fetch() == (0, [])

    assert host.there() == CONTENT
    assert [asked for path, asked, _ in hub.asked if path != "config.json"] == [
        None,
        "bytes=100000-",
        "bytes=300000-",
    ]


def test_one_that_was_killed_is_gone_on_with_by_the_next(tmp_path: Path) -> None:
    with running() as hub:
        host = Host(tmp_path, of(hub))
        (host.partial / "incoming").mkdir(parents=True)
        (host.partial / "incoming" / sha256(MODEL)).write_bytes(MODEL[:1234])
        (host.partial / "files").mkdir()
        (host.partial / "files/config.json").write_bytes(CONTENT["config.json"])

        assert host.fetch() == (0, [])

    assert host.there() == CONTENT
    assert hub.asked == [("sub/model.safetensors", "bytes=1234-", None)]


def test_a_server_without_ranges_is_asked_for_all_of_it(tmp_path: Path) -> None:
    with running(Hub(cut=[100_000], ranges=False)) as hub:
        host = Host(tmp_path, of(hub))

        assert host.fetch() == (0, [])

    assert host.there() == CONTENT


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_with_a_moments_trouble_is_asked_again(tmp_path: Path, status: int) -> None:
    with running(Hub(failing=[status, status])) as hub:
        host = Host(tmp_path, of(hub))

        assert host.fetch() == (0, [])


def test_a_file_with_a_wrong_hash_is_deleted_named_with_its_source_and_the_others_are_kept(
    tmp_path: Path,
) -> None:
    wrong = MODEL[:-1] + b"?"
    with running(Hub(files={**CONTENT, "sub/model.safetensors": wrong})) as hub:
        host = Host(tmp_path, of(hub))

        status, told = host.fetch()

    assert status == 1
    assert told == [
        "sub/model.safetensors cannot be had",
        f"sub/model.safetensors of hub: has the sha256 {sha256(wrong)}, and {sha256(MODEL)} is locked",
    ]
    assert host.report.read_text().splitlines() == told
    assert host.there() == {}
    assert host.kept() == ["files/config.json"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (MODEL[:5], "has 5 bytes, and 512000 are locked"),
        (MODEL + b"more", "has 512004 bytes, and 512000 are locked"),
        (MODEL + MODEL, "has more than the 512000 bytes that are locked"),
    ],
)
def test_a_file_of_another_size_is_told_of(tmp_path: Path, content: bytes, why: str) -> None:
    with running(Hub(files={**CONTENT, "sub/model.safetensors": content})) as hub:
        host = Host(tmp_path, of(hub))

        assert host.fetch()[0] == 1
        assert host.report.read_text().splitlines()[1:] == [f"sub/model.safetensors of hub: {why}"]


def test_sources_are_asked_in_turn_until_one_has_it(tmp_path: Path) -> None:
    share = tmp_path / "share"
    (share / "sub").mkdir(parents=True)
    (share / "sub/model.safetensors").write_bytes(MODEL)
    with running(Hub(files={})) as lacking, running() as hub:
        host = Host(
            tmp_path, ("off", NOBODY), ("gpu2", lacking.base), ("/mnt/share", str(share)), ("hub", hub.base)
        )

        assert host.fetch() == (0, [])

    assert host.there() == CONTENT
    assert [path for path, _, _ in hub.asked] == ["config.json"]


def test_what_began_at_a_wrong_source_is_begun_anew_at_the_next(tmp_path: Path) -> None:
    wrong = {**CONTENT, "sub/model.safetensors": b"x" * len(MODEL)}
    with running(Hub(files=wrong, cut=[1000, 0, 0, 0])) as bad, running() as hub:
        host = Host(tmp_path, ("gpu2", bad.base), ("hub", hub.base))

        assert host.fetch() == (0, [])

    assert host.there() == CONTENT
    assert [asked for path, asked, _ in bad.asked if path != "config.json"] == [None, "bytes=1000-"]
    assert [asked for path, asked, _ in hub.asked] == ["bytes=1000-", None]


def test_where_nobody_has_it_each_source_is_told_with_its_reason(tmp_path: Path) -> None:
    with running(Hub(files={})) as hub:
        host = Host(tmp_path, ("gpu2", NOBODY), ("/mnt/share", "/mnt/none"), ("hub", hub.base))

        status, told = host.fetch()

    assert status == 1
    assert told[0] == "config.json cannot be had"
    assert told[1].startswith("config.json of gpu2: Failed to connect to 127.0.0.1 port 1")
    assert told[2:] == [
        "config.json of /mnt/share: is not there",
        "config.json of hub: The requested URL returned error: 404",
    ]


def test_a_token_goes_to_its_own_source_and_not_along_when_that_sends_on(tmp_path: Path) -> None:
    settings = tmp_path / "hub.conf"
    settings.write_text('# ours\nheader = "Authorization: Bearer made-up"\n')
    with running() as store, running(Hub(elsewhere=store.base)) as hub, running(Hub(files={})) as gpu2:
        host = Host(tmp_path, ("gpu2", gpu2.base), ("hub", f"{hub.base} {settings}"))

        assert host.fetch() == (0, [])

    assert host.there() == CONTENT
    assert {bearer for _, _, bearer in hub.asked} == {"Bearer made-up"}
    assert {bearer for _, _, bearer in (*store.asked, *gpu2.asked)} == {None}


def test_two_at_once_fetch_once(tmp_path: Path) -> None:
    with running(Hub(cut=[1000])) as hub:
        host = Host(tmp_path, of(hub))
        first, second = host.start(), host.start()

        assert [process.communicate(timeout=60)[1] for process in (first, second)] == ["", ""]
        assert (first.returncode, second.returncode) == (0, 0)

    assert host.there() == CONTENT
    assert [asked for path, asked, _ in hub.asked if path != "config.json"] == [None, "bytes=1000-"]


def test_a_kill_in_the_middle_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    with running() as hub:
        host = Host(tmp_path, of(hub))
        program(tmp_path / "bin", "sync", "kill -9 $PPID")

        assert host.fetch()[0] == -signal.SIGKILL
        assert host.there() == {}

        (tmp_path / "bin/sync").unlink()
        assert host.fetch() == (0, [])

    assert host.there() == CONTENT


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a small file system")
def test_a_full_disk_is_told_and_what_has_come_is_kept(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path / "weights")]
    subprocess.run(mounted, check=True)
    try:
        with running() as hub:
            host = Host(tmp_path, of(hub))

            status, told = host.fetch()

            assert (status, told) == (1, [f"No space left on device: {tmp_path}/weights/hub is full"])
            assert "files/config.json" in host.kept()
            subprocess.run(["mount", "-o", "remount,size=4m", str(tmp_path / "weights")], check=True)
            assert host.fetch() == (0, [])
            assert host.there() == CONTENT
    finally:
        for _ in range(50):
            if subprocess.run(["umount", str(tmp_path / "weights")], check=False).returncode == 0:
                break
            time.sleep(0.1)


def test_a_directory_that_the_manifest_does_not_have_is_refused(tmp_path: Path) -> None:
    host = Host(tmp_path, files={})

    assert host.fetch() == (1, [f"{tmp_path}/manifest does not have {host.target}"])
