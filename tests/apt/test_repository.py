"""A repository is trusted once its key has proved itself; with the host's real apt and gpg, in a root of their own."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from stackctl.core.finding import Finding
from stackctl.engine.run import Run
from tests.apt.flat import Key, Package, write
from tests.apt.root import Root
from tests.engine.fleet import one_host

BODY = "repository.repository(name='ask NVIDIA', **spec)"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path, key: Key) -> Iterator[str]:
    """Address of a served repository with its key in both forms."""
    folder = tmp_path / "site"
    write(folder, key, [Package("nvtop", "1")], origin="NVIDIA", label="NVIDIA CUDA")
    key.write(folder / "armored.pub", armored=True)
    key.write(folder / "binary.pub", armored=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _own_apt(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in root.environment().items():
        monkeypatch.setenv(name, value)


def asking(tmp_path: Path, root: Root, site: str, fingerprint: str, key: str = "armored.pub") -> Run:
    """A host that shall ask the repository."""
    spec = {
        "stem": "stackctl-cuda",
        "url": site,
        "key_url": f"{site}/{key}",
        "fingerprint": fingerprint,
        "root": str(root.folder),
    }
    return one_host(tmp_path / "d", BODY, spec=spec)


def refused(run: Run, root: Root) -> Finding:
    """What the host says, which trusts nothing new."""
    (finding,) = run.apply(run.plan()).hosts[0].findings
    assert not (root.folder / "usr/share/keyrings/stackctl-cuda.gpg").exists()
    assert list((root.folder / "etc/apt/sources.list.d").iterdir()) == []
    return finding


@pytest.mark.parametrize("form", ["armored.pub", "binary.pub"])
def test_a_key_that_is_the_expected_one_is_trusted_and_the_repository_read(
    tmp_path: Path, root: Root, site: str, key: Key, form: str
) -> None:
    run = asking(tmp_path, root, site, key.fingerprint, form)
    plan = run.plan()
    assert [change.reason for change in plan.hosts[0].changes] == [
        f"trust key {key.fingerprint} for {site}, once it has proved to be that; read what {site} has"
    ]

    outcome = run.apply(plan).hosts[0]

    assert (outcome.findings, outcome.left) == ((), ())
    assert root.install("nvtop") == {"nvtop": "1"}
    assert (root.folder / "etc/apt/sources.list.d/stackctl-cuda.sources").read_text() == (
        "# Owned by stackctl: edits show as drift and are undone by the next apply.\n"
        "Types: deb\n"
        f"URIs: {site}/\n"
        "Suites: /\n"
        f"Signed-By: {root.folder}/usr/share/keyrings/stackctl-cuda.gpg\n"
    )


def test_a_repository_may_have_suites_and_components(tmp_path: Path, root: Root, site: str, key: Key) -> None:
    write(
        tmp_path / "site/dists/trixie",
        key,
        [Package("tailscale", "2")],
        origin="Tailscale",
        label="Tailscale",
        listed="main/binary-amd64/Packages",
        fields="Suite: trixie\nCodename: trixie\nComponents: main\n",
    )
    spec = {
        "stem": "stackctl-tailscale",
        "url": site,
        "key_url": f"{site}/binary.pub",
        "fingerprint": key.fingerprint,
        "suite": "trixie",
        "components": ["main"],
        "root": str(root.folder),
    }
    run = one_host(tmp_path / "d", BODY, spec=spec)

    outcome = run.apply(run.plan()).hosts[0]

    assert (outcome.findings, outcome.left) == ((), ())
    assert root.install("tailscale") == {"tailscale": "2"}
    assert (root.folder / "etc/apt/sources.list.d/stackctl-tailscale.sources").read_text() == (
        "# Owned by stackctl: edits show as drift and are undone by the next apply.\n"
        "Types: deb\n"
        f"URIs: {site}/\n"
        "Suites: trixie\n"
        "Components: main\n"
        f"Signed-By: {root.folder}/usr/share/keyrings/stackctl-tailscale.gpg\n"
    )


def test_another_key_is_refused_and_nothing_changed(tmp_path: Path, root: Root, site: str, key: Key) -> None:
    finding = refused(asking(tmp_path, root, site, "A" * 40), root)

    assert finding.what.startswith(
        f"the key at {site}/armored.pub is not {'A' * 40} alone: nothing was trusted"
    )
    assert finding.detail == (f"it holds {key.fingerprint}",)


def test_a_second_key_beside_the_expected_one_is_refused(
    tmp_path: Path, root: Root, site: str, key: Key
) -> None:
    other = Key(tmp_path / "other")
    both = tmp_path / "site/both.pub"
    both.write_bytes(key.gpg("--export") + other.gpg("--export"))
    other.end()

    finding = refused(asking(tmp_path, root, site, key.fingerprint, "both.pub"), root)

    assert sorted(finding.detail) == sorted([f"it holds {key.fingerprint}", f"it holds {other.fingerprint}"])


def test_what_is_no_key_is_refused(tmp_path: Path, root: Root, site: str, key: Key) -> None:
    finding = refused(asking(tmp_path, root, site, key.fingerprint, "Packages"), root)

    assert finding.what == f"what is at {site}/Packages is no key: check the address"


def test_a_key_that_is_not_there_is_told_with_its_address(
    tmp_path: Path, root: Root, site: str, key: Key
) -> None:
    finding = refused(asking(tmp_path, root, site, key.fingerprint, "none.pub"), root)

    assert finding.what.startswith(f"the key at {site}/none.pub cannot be fetched: check the address")


def test_a_key_that_was_changed_on_the_host_is_fetched_and_judged_again(
    tmp_path: Path, root: Root, site: str, key: Key
) -> None:
    run = asking(tmp_path, root, site, key.fingerprint)
    run.apply(run.plan())
    run.close()
    (root.folder / "usr/share/keyrings/stackctl-cuda.gpg").write_bytes(b"another")

    again = asking(tmp_path, root, site, key.fingerprint)
    outcome = again.apply(again.plan()).hosts[0]

    assert (outcome.findings, outcome.left) == ((), ())
    assert root.install("nvtop") == {"nvtop": "1"}


def test_another_expected_fingerprint_leaves_the_trusted_key_until_it_is_found(
    tmp_path: Path, root: Root, site: str, key: Key
) -> None:
    run = asking(tmp_path, root, site, key.fingerprint)
    run.apply(run.plan())
    run.close()
    before = (root.folder / "usr/share/keyrings/stackctl-cuda.gpg").read_bytes()

    again = asking(tmp_path, root, site, "B" * 40)
    (finding,) = again.apply(again.plan()).hosts[0].findings

    assert "is not BBBB" in finding.what
    assert (root.folder / "usr/share/keyrings/stackctl-cuda.gpg").read_bytes() == before


def test_a_repository_signed_by_another_key_is_told(tmp_path: Path, root: Root, site: str, key: Key) -> None:
    other = Key(tmp_path / "other")
    write(tmp_path / "site", other, [Package("nvtop", "1")], origin="NVIDIA", label="NVIDIA CUDA")
    other.end()
    run = asking(tmp_path, root, site, key.fingerprint)

    (finding,) = run.apply(run.plan()).hosts[0].findings

    assert finding.what == "the repository is signed with another key than the one that is trusted for it"
