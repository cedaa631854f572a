"""Images, as Debian's docker-registry has them."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from stackctl.core.finding import FailureError, FindingsError
from stackctl.core.secret import SecretRef
from stackctl.schema.image import Locked, LockedImage
from stackctl.upstream.login import Login
from stackctl.upstream.lookup import Access, ImageRegistries
from tests.engine.sshd import free_port
from tests.upstream.debian_registry import PASSWORD, USER, DebianRegistry, running


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianRegistry]:
    with running(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianRegistry]:
    with running(tmp_path_factory.mktemp("closed"), login=True) as found:
        yield found


def locked(
    name: str, tag: str, *logins: Login, known: Locked | None = None, repository: str = "tool"
) -> Locked:
    """What a registry of plain HTTP says of `NAME/team/REPOSITORY:TAG`."""
    with closing(ImageRegistries(Access({name: logins}, frozenset({name})))) as registries:
        return registries.locked(f"{name}/team/{repository}:{tag}", known)


def test_an_image_that_tells_nothing_is_a_digest(registry: DebianRegistry) -> None:
    pushed = registry.push("plain", {})

    assert locked(registry.name, "plain") == pushed


def test_what_an_image_demands_is_read_from_the_one_for_our_processors(registry: DebianRegistry) -> None:
    env = {"CUDA_VERSION": "12.8.1", "NVIDIA_REQUIRE_CUDA": "cuda>=12.8 brand=tesla,driver>=535,driver<536"}
    index = registry.push("cuda", env, architectures=["arm64", "amd64"])

    assert locked(registry.name, "cuda") == LockedImage(
        digest=index, cuda="12.8", requires="cuda>=12.8 brand=tesla,driver>=535,driver<536"
    )


def test_an_image_that_waives_its_demands_has_none(registry: DebianRegistry) -> None:
    env = {"CUDA_VERSION": "12.8.1", "NVIDIA_REQUIRE_CUDA": "cuda>=12.8", "NVIDIA_DISABLE_REQUIRE": "1"}
    pushed = registry.push("waived", env)

    assert locked(registry.name, "waived") == LockedImage(digest=pushed, cuda="12.8")


def test_an_entry_stays_as_a_person_wrote_it_while_its_digest_does(registry: DebianRegistry) -> None:
    known = LockedImage(digest=registry.push("kept", {"CUDA_VERSION": "12.8.1"}), cuda="12.9")

    assert locked(registry.name, "kept", known=known) is known


def test_a_moved_tag_takes_what_the_image_does_not_tell_from_the_entry_before(
    registry: DebianRegistry,
) -> None:
    known = LockedImage(digest=registry.push("moved", {"A": "1"}), cuda="12.8", architectures=("sm_90",))
    after = registry.push("moved", {"CUDA_VERSION": "13.0.2"})

    found = locked(registry.name, "moved", known=known)

    assert found == LockedImage(digest=after, cuda="13.0", architectures=("sm_90",))


def test_a_missing_tag_is_told_with_those_that_are_spelt_alike(registry: DebianRegistry) -> None:
    registry.push("v0.33.0", {})

    with pytest.raises(FindingsError) as error:
        locked(registry.name, "v0.33.1")

    (told,) = error.value.findings
    assert (error.value.exit_code, told.where) == (2, f"{registry.name}/team/tool:v0.33.1")
    assert (told.what, told.hint) == ("there is no tag `v0.33.1` of team/tool", "did you mean `v0.33.0`?")


def test_a_missing_repository_is_told(registry: DebianRegistry) -> None:
    with pytest.raises(FindingsError, match=f"{registry.name} has no repository `team/tol`"):
        locked(registry.name, "1", repository="tol")


def test_a_login_of_the_inventory_is_used(closed: DebianRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIGHT_PASSWORD", PASSWORD)
    pushed = closed.push("1", {})

    login = Login(USER, SecretRef("env", "RIGHT_PASSWORD"))

    assert locked(closed.name, "1", login) == pushed


def test_of_several_logins_one_that_is_let_in_is_enough(
    closed: DebianRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIGHT_PASSWORD", PASSWORD)
    monkeypatch.setenv("OLD_PASSWORD", "was right once")
    pushed = closed.push("2", {})

    logins = [Login(USER, SecretRef("env", name)) for name in ("OLD_PASSWORD", "RIGHT_PASSWORD")]

    assert locked(closed.name, "2", *logins) == pushed


def test_without_a_login_the_way_to_one_is_told(closed: DebianRegistry) -> None:
    with pytest.raises(FailureError) as error:
        locked(closed.name, "1")

    (told,) = error.value.findings
    assert told.what == f"{closed.name} refuses it with 401"
    assert told.hint == (
        f"give a host `docker.registries: {{{closed.name}: {{user: ..., password: ...}}}}`, or check the name"
    )


def test_a_password_that_cannot_be_read_here_is_named_and_never_shown(closed: DebianRegistry) -> None:
    with pytest.raises(FailureError) as error:
        locked(closed.name, "1", Login(USER, SecretRef("env", "NOWHERE_SET")))

    assert error.value.findings[0].detail == (
        "secret env:NOWHERE_SET cannot be read: the variable is not set",
    )


def test_a_registry_that_is_down_is_waited_for_once() -> None:
    name = f"127.0.0.1:{free_port()}"
    failures = []

    with closing(ImageRegistries(Access())) as registries:
        for tag in ("1", "2"):
            with pytest.raises(FailureError) as error:
                registries.locked(f"{name}/team/tool:{tag}")
            failures.append(error.value.findings)

    assert failures[0] == failures[1]
    assert failures[0][0].where == name
    assert failures[0][0].what == f"{name} cannot be asked: [Errno 111] Connection refused"
