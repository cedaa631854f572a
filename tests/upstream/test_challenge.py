"""Registries that want a token, and registries that answer what they should not."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import httpx
import pytest

from stackctl.core.finding import FailureError
from stackctl.core.secret import SecretRef
from stackctl.upstream.login import Login, RegistryLogin
from stackctl.upstream.lookup import Access, ImageRegistries
from tests.upstream.stand_in import Asked, Reply, StandIn, standing_in, told

KIND = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b'{"config": {}}'
MANIFEST = json.dumps(
    {"mediaType": KIND, "config": {"digest": f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"}}
).encode()
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
IMAGE = Reply(200, MANIFEST, {"Content-Type": KIND, "Docker-Content-Digest": DIGEST})


def content(asked: Asked) -> Reply:
    return Reply(200, CONFIG) if "/blobs/" in asked.path else IMAGE


@contextmanager
def asking(
    answer: Callable[[Asked], Reply], *logins: Login
) -> Iterator[tuple[Callable[[], object], StandIn]]:
    """A question for one image of a stand-in, and the stand-in."""
    with standing_in(answer) as server:
        name = server.address
        with closing(ImageRegistries(Access({name: logins}, frozenset({name})))) as registries:
            yield lambda: registries.locked(f"{name}/team/tool:1"), server


def test_a_token_is_bought_once_for_what_is_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_PASSWORD", "sesame")
    address: list[str] = []

    def answer(asked: Asked) -> Reply:
        if asked.path.startswith("/token"):
            return told({"token": "t0"})
        if asked.authorization == "Bearer t0":
            return content(asked)
        challenge = f'Bearer realm="http://{address[0]}/token",service="registry"'
        return Reply(401, headers={"WWW-Authenticate": challenge})

    with asking(answer, Login("puller", SecretRef("env", "TOKEN_PASSWORD"))) as (ask, server):
        address.append(server.address)
        assert ask() == DIGEST

    bought = [asked for asked in server.asked if asked.path.startswith("/token")]
    assert [asked.path for asked in bought] == [
        "/token?service=registry&scope=repository%3Ateam%2Ftool%3Apull"
    ]
    assert base64.b64decode(str(bought[0].authorization).removeprefix("Basic ")) == b"puller:sesame"
    told_password = [asked for asked in server.asked if (asked.authorization or "").startswith("Basic")]
    assert told_password == bought


@pytest.mark.parametrize(
    "realm", ["http://seller.example/token", "ftp://seller.example/token", "https://seller.example:x/", ""]
)
def test_a_password_goes_to_no_address_in_clear_that_a_challenge_names(
    monkeypatch: pytest.MonkeyPatch, realm: str
) -> None:
    monkeypatch.setenv("CLEAR_PASSWORD", "sesame")
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})

    login = RegistryLogin([Login("puller", SecretRef("env", "CLEAR_PASSWORD"))], "team/tool", clear=False)
    with httpx.Client(transport=httpx.MockTransport(answer), auth=login) as client:
        assert client.get("https://registry.example/v2/").status_code == 401

    assert {request.url.host for request in asked} == {"registry.example"}
    assert [request for request in asked if "Authorization" in request.headers] == []


def test_where_a_registry_sends_us_for_a_file_gets_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "sesame")
    login = Login("puller", SecretRef("env", "STORE_PASSWORD"))

    with standing_in(lambda _: Reply(200, CONFIG)) as store:

        def answer(asked: Asked) -> Reply:
            if asked.authorization is None:
                return Reply(401, headers={"WWW-Authenticate": 'Basic realm="tests"'})
            if "/blobs/" in asked.path:
                return Reply(307, headers={"Location": f"http://{store.address}/config"})
            return IMAGE

        with asking(answer, login) as (ask, _):
            assert ask() == DIGEST

    assert [asked.authorization for asked in store.asked] == [None]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, MANIFEST + b" ", IMAGE.headers),
        Reply(200, MANIFEST, {**IMAGE.headers, "Docker-Content-Digest": f"sha256:{'0' * 64}"}),
    ],
)
def test_a_digest_that_its_bytes_do_not_have_is_refused(reply: Reply) -> None:
    with asking(lambda _: reply) as (ask, _), pytest.raises(FailureError, match="other bytes than it names"):
        ask()


def test_a_configuration_of_other_bytes_is_refused() -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(200, CONFIG + b" ") if "/blobs/" in asked.path else IMAGE

    with asking(answer) as (ask, _), pytest.raises(FailureError, match="other bytes than it names"):
        ask()


def test_a_busy_registry_is_asked_again_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("stackctl.upstream.http.time.sleep", waits.append)
    busy = [Reply(429, headers={"Retry-After": "7"}), Reply(503)]

    with asking(lambda asked: busy.pop(0) if busy and "/manifests/" in asked.path else content(asked)) as (
        ask,
        _,
    ):
        assert ask() == DIGEST

    assert waits == [7, 3]


def test_a_registry_that_has_had_enough_of_us_is_not_waited_for_without_end() -> None:
    refused = pytest.raises(FailureError, match="too many requests from here")

    with asking(lambda _: Reply(429, headers={"Retry-After": "3600"})) as (ask, server), refused:
        ask()

    assert len([asked for asked in server.asked if "/manifests/" in asked.path]) == 1


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"config": 1}', b'{"manifests": 1}', b'{"manifests": [1]}']
)
def test_what_is_no_image_is_refused(body: bytes) -> None:
    reply = Reply(200, body, {"Content-Type": "application/vnd.oci.image.index.v1+json"})

    with asking(lambda _: reply) as (ask, _), pytest.raises(FailureError):
        ask()
