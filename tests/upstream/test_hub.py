"""Model repositories, as a hub tells huggingface-hub of them."""

import hashlib
from collections.abc import Iterator
from contextlib import closing

import pytest

from stackctl.core.finding import FailureError, FindingsError
from stackctl.core.secret import SecretRef
from stackctl.schema.lock import Repository
from stackctl.schema.snapshot import LockedFile, Snapshot
from stackctl.upstream.hub import ModelHubs
from stackctl.upstream.lookup import Hub
from tests.engine.sshd import free_port
from tests.upstream.hub_server import FakeHub, serving

CONFIG = b'{"num_hidden_layers": 2, "rope_theta": 1e6}'
TENSORS = b"t" * 4000


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    files = {"config.json": CONFIG, "model.safetensors": TENSORS, "README.md": b"# Tiny"}
    with serving({"a/tiny": files}) as found:
        yield found


def locked(
    hub: FakeHub, wanted: Repository, known: Snapshot | None = None, token: SecretRef | None = None
) -> Snapshot:
    with closing(ModelHubs([Hub(endpoint=hub.endpoint, token=token)])) as hubs:
        return hubs.locked(wanted, known)


def told(hub: FakeHub, wanted: Repository, token: SecretRef | None = None) -> tuple[int, str, str | None]:
    """What is said where there is no answer."""
    with pytest.raises(FindingsError) as error:
        locked(hub, wanted, token=token)
    (finding,) = error.value.findings
    return error.value.exit_code, f"{finding.where} {finding.what}", finding.hint


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_revision_is_a_commit_and_files_with_their_hashes(hub: FakeHub) -> None:
    assert locked(hub, Repository("a/tiny", "main")) == Snapshot(
        commit=hub.commit("a/tiny"),
        files={
            "config.json": LockedFile(size=len(CONFIG), sha256=sha256(CONFIG)),
            "model.safetensors": LockedFile(size=4000, sha256=sha256(TENSORS)),
        },
        config={"num_hidden_layers": 2, "rope_theta": 1e6},
    )


def test_large_files_are_not_fetched(hub: FakeHub) -> None:
    locked(hub, Repository("a/tiny", "main"))

    fetched = [asked.path for asked in hub.server.asked if "/resolve/" in asked.path]
    assert fetched == [f"/a/tiny/resolve/{hub.commit('a/tiny')}/config.json"]


def test_what_did_not_move_is_asked_for_once_and_stays_as_it_is(hub: FakeHub) -> None:
    known = locked(hub, Repository("a/tiny", "main"))
    hub.server.asked.clear()

    assert locked(hub, Repository("a/tiny", "main"), known) is known
    assert [asked.path for asked in hub.server.asked] == ["/api/models/a/tiny/revision/main?blobs=true"]


def test_other_files_wanted_of_the_same_commit_are_another_entry(hub: FakeHub) -> None:
    known = locked(hub, Repository("a/tiny", "main"))

    found = locked(hub, Repository("a/tiny", "main", ("*.md",), usual=False), known)

    assert (found.commit, list(found.files)) == (known.commit, ["README.md"])


def test_a_small_file_that_is_not_what_the_commit_has_is_refused(hub: FakeHub) -> None:
    hub.served["config.json"] = CONFIG + b" "

    code, what, _ = told(hub, Repository("a/tiny", "main"))

    commit = hub.commit("a/tiny")[:12]
    assert (code, what) == (
        1,
        f"a/tiny@main `config.json` is not what commit {commit} has under that name",
    )


def test_a_repository_that_is_gone_is_told(hub: FakeHub) -> None:
    assert told(hub, Repository("a/gone", "main")) == (
        2,
        f"a/gone@main {hub.endpoint} has no repository `a/gone`, or does not show it to us",
        "check the name; for a private one, name a token with `weights.token`",
    )


def test_a_revision_that_is_gone_is_told_with_those_there_are(hub: FakeHub) -> None:
    assert told(hub, Repository("a/tiny", "v2")) == (
        2,
        "a/tiny@v2 a/tiny has no revision `v2`",
        "there is `main`",
    )


def test_a_gated_repository_takes_a_token_by_reference(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.gated.add("a/tiny")
    hub.token = "made-up"
    monkeypatch.setenv("HUB_TOKEN_OF_TESTS", "made-up")
    wanted = Repository("a/tiny", "main")

    assert told(hub, wanted)[:2] == (1, "a/tiny@main is shown to those alone who asked for access")
    assert locked(hub, wanted, token=SecretRef("env", "HUB_TOKEN_OF_TESTS")).commit == hub.commit("a/tiny")


def test_a_token_that_is_nobodys_is_told_and_not_shown(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.refuses = "made-up-and-old"
    monkeypatch.setenv("OLD_TOKEN_OF_TESTS", hub.refuses)

    assert told(hub, Repository("a/tiny", "main"), SecretRef("env", "OLD_TOKEN_OF_TESTS")) == (
        1,
        f"a/tiny@main {hub.endpoint} refuses it with 401",
        "check the token that `weights.token` or HF_TOKEN names, and what it may read",
    )


def test_files_with_names_that_hosts_do_not_take_are_named(hub: FakeHub) -> None:
    hub.repositories["a/tiny"]["a model.safetensors"] = TENSORS

    assert told(hub, Repository("a/tiny", "main")) == (
        2,
        "a/tiny@main has files whose names hosts do not take",
        "name with `weights.files` of its models which files are wanted",
    )


def test_what_one_hub_does_not_have_the_next_may(hub: FakeHub) -> None:
    with serving({}) as mirror:
        settings = [Hub(endpoint=each.endpoint) for each in (mirror, hub)]
        with closing(ModelHubs(settings)) as hubs:
            assert hubs.locked(Repository("a/tiny", "main")).commit == hub.commit("a/tiny")


def test_a_hub_that_is_down_is_told() -> None:
    place = f"127.0.0.1:{free_port()}"
    down = pytest.raises(FailureError, match=f"{place} cannot be asked: .*Connection refused")

    with closing(ModelHubs([Hub(endpoint=f"http://{place}")])) as hubs, down:
        hubs.locked(Repository("a/tiny", "main"))
