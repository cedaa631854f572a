import json
from collections.abc import Iterator

import pytest

from tests.gateway.haproxy import Gateway, running
from tests.gateway.stub import stub

LONG = [{"role": "user", "content": 'so it goes, "model": "embed", \\\\ ' * 10_000}]
NUL = bytes(range(256)) * 40


def nested(levels: int) -> dict[str, object]:
    return {"type": "object", "properties": nested(levels - 1)} if levels else {}


def form(*fields: tuple[str, bytes]) -> bytes:
    parts = (
        b'--limit\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value)
        for name, value in fields
    )
    return b"".join(parts) + b"--limit--\r\n"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with (
        stub("127.0.0.2") as chat,
        stub("127.0.0.3") as embed,
        stub("127.0.0.4") as listen,
        running("max_body: 1", chat=[chat], embed=[embed], listen=[listen]) as started,
    ):
        yield started


def served_by(gateway: Gateway, path: str, body: object, **headers: str) -> str:
    answer = gateway.post(path, body, headers)
    assert answer.status == 200, answer.body
    return f"{answer.json['by']} {answer.json['path']}"


def test_a_models_own_url_needs_no_model_in_the_body(gateway: Gateway) -> None:
    assert served_by(gateway, "/m/chat/v1/chat/completions", {}) == "127.0.0.2 /v1/chat/completions"
    assert served_by(gateway, "/m/embed/v1/embeddings?a=b", {}) == "127.0.0.3 /v1/embeddings?a=b"


def test_a_models_own_url_wins_over_the_model_in_the_body(gateway: Gateway) -> None:
    assert served_by(gateway, "/m/embed/v1/embeddings", {"model": "chat"}) == "127.0.0.3 /v1/embeddings"


def test_the_body_names_the_model_after_300_kb_of_messages(gateway: Gateway) -> None:
    body = {"messages": LONG, "model": "chat"}

    assert len(json.dumps(body)) > 300_000
    assert served_by(gateway, "/v1/chat/completions", body) == "127.0.0.2 /v1/chat/completions"


def test_a_model_named_deeper_in_the_body_is_not_the_one_asked_for(gateway: Gateway) -> None:
    body = {"metadata": {"model": "embed"}, "stop": ["model", "embed"], "model": "chat"}

    assert served_by(gateway, "/v1/chat/completions", body) == "127.0.0.2 /v1/chat/completions"


@pytest.mark.parametrize("levels", [5, 30, 90])
def test_a_tool_may_have_parameters_of_any_depth_before_the_model(gateway: Gateway, levels: int) -> None:
    body = {"messages": LONG, "tools": [{"parameters": nested(levels)}], "model": "chat"}

    assert served_by(gateway, "/v1/chat/completions", body) == "127.0.0.2 /v1/chat/completions"


def test_a_body_sent_in_pieces_is_routed_too(gateway: Gateway) -> None:
    text = json.dumps({"messages": LONG, "model": "chat"}).encode()
    pieces = (text[start : start + 50_000] for start in range(0, len(text), 50_000))

    answer = gateway.ask("POST", "/v1/chat/completions", pieces, {})

    assert answer.json == {"by": "127.0.0.2", "path": "/v1/chat/completions", "bytes": len(text)}


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=limit", 'Multipart/Form-Data; boundary="limit"']
)
def test_a_form_names_the_model_before_or_after_a_binary_file(gateway: Gateway, kind: str) -> None:
    fields = [("file", NUL + b'\r\n\r\nname="model"\r\n\r\n--limi' + NUL), ("model", b"listen")]

    for ordered in (fields, fields[::-1]):
        body = form(*ordered)
        answer = gateway.post("/v1/audio/transcriptions", body, {"Content-Type": kind})

        assert answer.json == {"by": "127.0.0.4", "path": "/v1/audio/transcriptions", "bytes": len(body)}


def test_the_list_of_models_has_them_all(gateway: Gateway) -> None:
    answer = gateway.get("/v1/models")

    assert answer.headers["content-type"] == "application/json"
    assert answer.json["object"] == "list"
    assert [(model["id"], model["api"]) for model in answer.json["data"]] == [
        ("chat", ["chat", "completions"]),
        ("embed", ["embeddings"]),
        ("listen", ["transcriptions"]),
    ]


def test_one_model_is_described_by_its_name(gateway: Gateway) -> None:
    card = {"id": "embed", "object": "model", "created": 0, "owned_by": "stackctl", "api": ["embeddings"]}

    assert gateway.get("/v1/models/embed").json == card
    assert gateway.get("/m/embed/v1/models/embed").json == card
    assert gateway.get("/m/embed/v1/models").json == {"object": "list", "data": [card]}


def test_the_gateway_is_healthy_by_itself(gateway: Gateway) -> None:
    assert gateway.get("/health").body == b"ok\n"


def test_the_gateway_has_metrics_on_a_port_of_their_own(gateway: Gateway) -> None:
    metrics = gateway.get("/metrics", port=gateway.metrics_port)

    assert b'haproxy_backend_active_servers{proxy="model-chat"} 1' in metrics.body
    assert gateway.get("/", port=gateway.metrics_port).error == (
        "404 only /metrics and /metrics/models are here"
    )


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/m/nope/v1/chat/completions"])
def test_an_unknown_model_is_named_with_those_that_there_are(gateway: Gateway, path: str) -> None:
    answer = gateway.post(path, {"messages": LONG, "model": "nope"})

    assert answer.error == "404 unknown model `nope`; there are `chat`, `embed` and `listen`"
    assert answer.json["error"]["code"] == "model_not_found"
    assert gateway.get("/v1/models/nope").error == answer.error


def test_a_models_name_comes_back_as_sound_json_whatever_it_is(gateway: Gateway) -> None:
    answer = gateway.post("/v1/chat/completions", {"model": 'a"b\\\n%[env(HOME)]' + "x" * 999})

    assert answer.error.startswith('404 unknown model `a"b\\\n%[env(HOME)]xxx')


@pytest.mark.parametrize(
    "body", [b"", b"no JSON", b"[1]", b"{}", b'{"model":""}', b'{"model":null}', b'{"model":"x']
)
def test_a_body_without_a_model_is_told_what_is_missing(gateway: Gateway, body: bytes) -> None:
    answer = gateway.post("/v1/chat/completions", body)

    assert answer.error == "400 the request names no model: the body is JSON or a form with `model`"


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/tokenize",
        "/invocations",
        "/v1/../metrics",
        "/v1/chat/completions/",
        "/",
        "//v1/embeddings",
    ],
)
def test_a_path_of_no_api_reaches_no_replica(gateway: Gateway, path: str) -> None:
    assert gateway.post(path, {"model": "chat"}).error == f"404 there is no {path}"
    assert gateway.post(f"/m/chat{path}", {}).error == f"404 there is no {path}"


@pytest.mark.parametrize("path", ["/m/chat/%76%31/embeddings", "/m/chat", "/m//v1/embeddings", "/m/"])
def test_no_spelling_gets_round_the_list_of_paths(gateway: Gateway, path: str) -> None:
    assert gateway.post(path, {"model": "chat"}).status == 404


@pytest.mark.parametrize("path", ["/v1/embeddings", "/m/chat/v1/embeddings"])
def test_a_path_of_another_models_api_is_refused(gateway: Gateway, path: str) -> None:
    assert gateway.post(path, {"model": "chat"}).error == (
        "404 the model `chat` does not answer /v1/embeddings; GET /v1/models lists what each does"
    )


def test_an_api_takes_post_alone(gateway: Gateway) -> None:
    answer = gateway.get("/m/chat/v1/chat/completions")

    assert answer.error == "405 /v1/chat/completions takes POST"
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_large_to_look_into_is_refused_in_words(gateway: Gateway, chunked: bool) -> None:
    body = b'{"prompt":"' + b"x" * 12_000_000 + b'","model":"chat"}'

    answer = gateway.ask("POST", "/v1/completions", iter([body]) if chunked else body, {})

    assert (
        answer.error
        == "413 the request is larger than the 1 MiB that may be read here; /m/MODEL/v1 takes any size"
    )


def test_a_models_own_url_takes_a_body_of_any_size(gateway: Gateway) -> None:
    body = b'{"prompt":"' + b"x" * 12_000_000 + b'"}'

    assert gateway.post("/m/chat/v1/completions", body).json["bytes"] == len(body)
