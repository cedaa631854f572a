import re
from pathlib import Path
from typing import get_args

import pytest

from stackctl.agents import gateway_metrics
from stackctl.capabilities import gateway, load_fleet, load_fleet_with_warnings
from stackctl.capabilities.gateway import GatewaySpec
from stackctl.core import exporter
from stackctl.project import Project
from stackctl.render import job
from stackctl.schema.replica import Replica
from stackctl.servers.api import PATHS, Api
from tests.expected import expect_files, files_of
from tests.inventory import HOSTS, complaints, fleet, project

CATALOGUE = """
models:
  chat: {server: vllm, image: "vllm:1", weights: {path: tiny}, api: [chat, completions], max_num_seqs: 10}
  qwen3-0.6b: {server: vllm, image: "vllm:1", weights: {path: qwen}, api: [rerank]}
  speak: {server: custom, image: "tts:1", port: 8880, api: [speech], health: /ready, max_requests: 1}
  idle: {server: custom, image: "tts:1", port: 8880, api: [speech]}
"""
PLACED = f"""\
{HOSTS}\
placements:
  speak: [{{host: gpu1, devices: [cpu]}}]
  chat: [{{host: gpu2, devices: [cpu], port: 8001}}, {{host: gpu1, devices: [cpu]}}]
  qwen3-0.6b: [{{host: gpu2, devices: [cpu]}}]
"""


def spec(folder: Path, settings: str = "") -> GatewaySpec:
    found = gateway.resolve(fleet(folder, f"{PLACED}{settings}", CATALOGUE), "edge")
    assert found is not None
    return found


def test_only_hosts_with_the_role_are_gateways(tmp_path: Path) -> None:
    read = fleet(tmp_path, PLACED, CATALOGUE)

    assert gateway.resolve(read, "edge") is not None
    assert gateway.resolve(read, "gpu1") is None


def test_models_that_are_placed_have_urls_in_order_of_name(tmp_path: Path) -> None:
    assert [model.name for model in spec(tmp_path).models] == ["chat", "qwen3-0.6b", "speak"]


def test_replicas_are_reached_where_they_are_placed(tmp_path: Path) -> None:
    chat, _, speak = spec(tmp_path).models

    assert chat.replicas == (
        Replica("gpu2:8001", "10.0.0.13", 8001, 10, "chat-8001"),
        Replica("gpu1", "10.0.0.12", 8000, 10, "chat"),
    )
    assert (speak.health_path, speak.replicas) == (
        "/ready",
        (Replica("gpu1", "10.0.0.12", 8880, 1, "speak"),),
    )


def test_a_replica_gets_a_quarter_more_than_it_works_on_and_warms_up_beside_others(tmp_path: Path) -> None:
    servers = [server for model in spec(tmp_path).models for server in model.servers]

    assert [re.sub(r" agent-.*\"", "", server) for server in servers] == [
        "gpu2:8001 10.0.0.13:8001 maxconn 13 slowstart 30s",
        "gpu1 10.0.0.12:8000 maxconn 13 slowstart 30s",
        "gpu2 10.0.0.13:8000",
        "gpu1 10.0.0.12:8880 maxconn 2",
    ]


def test_a_replicas_host_is_asked_by_its_containers_name_whether_it_is_drained(tmp_path: Path) -> None:
    chat, *_ = spec(tmp_path).models

    assert chat.servers[0].removeprefix("gpu2:8001 10.0.0.13:8001 maxconn 13 ") == (
        'agent-check agent-addr 10.0.0.13 agent-port 7980 agent-send "chat-8001\\n" slowstart 30s'
    )


def test_every_api_has_paths_and_no_path_two_apis() -> None:
    paths = [path for paths in PATHS.values() for path in paths]

    assert set(PATHS) == set(get_args(Api))
    assert len(paths) == len(set(paths))


def test_a_model_is_reached_by_the_paths_of_its_apis_alone(tmp_path: Path) -> None:
    assert [model.paths for model in spec(tmp_path).models] == [
        ("/v1/chat/completions", "/v1/completions"),
        ("/rerank", "/v1/rerank", "/v2/rerank"),
        ("/v1/audio/speech",),
    ]


def test_settings_reach_the_gateway_in_its_own_units(tmp_path: Path) -> None:
    found = spec(tmp_path, "gateway: {port: 80, max_body: 2, server_timeout: 7200}")

    assert (found.address, found.port, found.max_body) == ("10.0.0.11", 80, 2 * 1024 * 1024)
    assert found.linger == found.server_timeout == 7200
    assert found.buffer > found.max_body


def written(found: Project) -> dict[str, str]:
    """Without the program, whose own text is in `stackctl/agents`."""
    files = files_of(job(load_fleet(found.root, "test"), found, "edge"), "gateway")
    program = files.pop(exporter.PROGRAM_FILE.lstrip("/"))
    assert program.endswith(f"\n{Path(gateway_metrics.__file__).read_text('utf-8')}")
    return files


def test_the_files_are_as_reviewed(tmp_path: Path) -> None:
    found = project(tmp_path, PLACED, CATALOGUE)

    expect_files("gateway/edge", written(found))


GUARDED = """\
gateway:
  keys:
    operator: {secret: "env:OPERATOR_KEY"}
    batch: {sha256: 6b51d431df5d7f141cbececcf79edf3dd861c3b4069f0b11661a3eefacbba918, models: [chat], rate: 60/m}
    speaker: {secret: "age:speaker", models: [speak, chat], rate: 5/s}
  tls: {certificate: "file:tls/gateway.crt", key: "age:gateway-tls", name: models.stack.internal}
  models:
    chat: {balance: sticky, session_header: x-conversation, prefix: 2048, queue: 32}
    speak: {max_body: 2, server_timeout: 60, queue_timeout: 5}
"""


def test_a_gateway_with_keys_tls_and_models_of_their_own_kind_is_as_reviewed(tmp_path: Path) -> None:
    found = project(tmp_path, f"{PLACED}{GUARDED}", CATALOGUE)

    expect_files("gateway/guarded", files_of(job(load_fleet(found.root, "test"), found, "edge"), "gateway"))


def test_root_alone_reads_what_tells_of_keys(tmp_path: Path) -> None:
    found = project(tmp_path, f"{PLACED}{GUARDED}", CATALOGUE)
    (part,) = (
        part
        for part in job(load_fleet(found.root, "test"), found, "edge").parts
        if part.capability == "gateway"
    )

    assert {
        file.path: [ref.written for ref in file.secrets] for file in part.files if file.mode == 0o600
    } == {
        gateway.CERTIFICATE_FILE: ["age:gateway-tls", "file:tls/gateway.crt"],
        gateway.KEYS_FILE: ["age:speaker", "env:OPERATOR_KEY"],
    }


def test_a_long_list_of_models_is_cut_short_in_errors_alone(tmp_path: Path) -> None:
    names = [f"m{number:02}" for number in range(25)]
    entries = "".join(
        f"  {name}: {{server: custom, image: 'a:1', port: 80, api: [chat]}}\n" for name in names
    )
    placed = "".join(
        f"  {name}: [{{host: gpu1, devices: [cpu], port: {8000 + number}}}]\n"
        for number, name in enumerate(names)
    )

    found = gateway.resolve(fleet(tmp_path, f"{HOSTS}placements:\n{placed}", f"models:\n{entries}"), "edge")

    assert found is not None
    (everybody,) = found.callers
    assert everybody.told.startswith("there are `m00`, `m01`, ")
    assert everybody.told.endswith(", `m19` and 5 more")
    assert everybody.list.count('"id"') == 25


def test_the_longest_silence_of_any_model_is_waited_for_after_a_reload(tmp_path: Path) -> None:
    found = spec(tmp_path, "gateway: {models: {chat: {server_timeout: 7200}}}")

    assert (found.server_timeout, found.longest_silence, found.linger) == (600, 7200, 7200)


def test_a_gateway_without_models_is_a_gateway_too(tmp_path: Path) -> None:
    found = project(tmp_path, HOSTS, CATALOGUE)

    expect_files("gateway/empty", written(found))


def test_the_metrics_need_a_port_of_their_own(tmp_path: Path) -> None:
    assert complaints(tmp_path, f"{PLACED}gateway: {{metrics_port: 8080}}", CATALOGUE) == [
        (
            "test.yaml:10 `gateway.metrics_port` is 8080, which is already the port of the models' URLs"
            " | choose another port"
        )
    ]


def test_the_metrics_take_no_port_of_a_model_on_the_same_host(tmp_path: Path) -> None:
    both = PLACED.replace("[gateway]", "[gateway, models]").replace("host: gpu1", "host: edge")

    assert complaints(tmp_path, f"{both}gateway: {{metrics_port: 8880}}", CATALOGUE) == [
        (
            "test.yaml:10 `gateway.metrics_port` is 8880, which is already `speak`'s port on edge"
            " | choose another port"
        )
    ]


def test_requests_that_could_fill_more_memory_than_there_is_are_refused(tmp_path: Path) -> None:
    assert complaints(tmp_path, f"{PLACED}gateway: {{max_body: 32}}", CATALOGUE) == [
        (
            "test.yaml:10 `gateway.max_body` is 32 MiB: 1024 connections with such requests fill 64 GiB of memory,"
            " and `gateway.memory` allows 16"
            " | lower `max_connections` to 256, or raise `memory` if the gateway's hosts have it"
        )
    ]
    assert spec_fits(tmp_path / "fewer", "{max_body: 32, max_connections: 256}")
    assert spec_fits(tmp_path / "more", "{max_body: 32, memory: 64}")


def test_the_largest_request_of_any_model_counts_for_memory(tmp_path: Path) -> None:
    settings = "gateway: {models: {speak: {max_body: 64}, chat: {max_body: 2}}}"

    assert complaints(tmp_path, f"{PLACED}{settings}", CATALOGUE) == [
        (
            "test.yaml:10 `gateway.models.speak.max_body` is 64 MiB: 1024 connections with such requests fill"
            " 128 GiB of memory, and `gateway.memory` allows 16"
            " | lower `max_connections` to 128, or raise `memory` if the gateway's hosts have it"
        )
    ]


HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
SETTING = {
    "an unknown model": (
        "keys: {ci: {sha256: HASH, models: [chat, caht]}}",
        "`caht` is not a model of the catalogue | did you mean `chat`?",
    ),
    "an unknown model's settings": (
        "models: {speek: {max_body: 1}}",
        "`speek` is not a model of the catalogue | did you mean `speak`?",
    ),
    "no model at all": (
        "keys: {ci: {sha256: HASH, models: []}}",
        "`gateway.keys.ci.models` is empty | write at least 1",
    ),
    "one hash twice": (
        "keys: {ci: {sha256: HASH}, cd: {sha256: HASH}}",
        (
            "`gateway.keys.cd.sha256` is the key of `ci` as well: a request could not be told from the other's"
            " | give every client a key of its own"
        ),
    ),
    "one secret twice": (
        "keys: {ci: {secret: 'env:A'}, cd: {secret: 'env:A'}}",
        (
            "`gateway.keys.cd.secret` is the key of `ci` as well: a request could not be told from the other's"
            " | give every client a key of its own"
        ),
    ),
    "a rate of nothing": (
        "keys: {ci: {sha256: HASH, rate: 0/m}}",
        (
            "`gateway.keys.ci.rate` cannot be `0/m` | write how many requests in a second, minute, hour or day:"
            " `5/s`, `60/m`, `1000/h`, `5000/d`"
        ),
    ),
    "no key": (
        "keys: {ci: {models: [chat]}}",
        (
            "`gateway.keys.ci` needs exactly one of `secret` and `sha256`"
            " | write one: a reference to the key, or its hash"
        ),
    ),
    "two keys": (
        "keys: {ci: {sha256: HASH, secret: 'env:A'}}",
        (
            "`gateway.keys.ci` needs exactly one of `secret` and `sha256`"
            " | write one: a reference to the key, or its hash"
        ),
    ),
    "a key in clear": (
        "keys: {ci: {secret: hunter2-hunter2}}",
        (
            "`gateway.keys.ci.secret` takes a reference to a secret, not the secret"
            " | write `env:NAME`, `file:PATH`, `age:NAME` or `command:PROGRAM ARG...`;"
            " replace a secret that was ever saved here in clear"
        ),
    ),
    "a key in the place of its hash": (
        "keys: {ci: {sha256: hunter2-hunter2}}",
        (
            "`gateway.keys.ci.sha256` is no SHA-256"
            " | write 64 lower-case hexadecimal digits, as `printf %s KEY | sha256sum` prints them"
        ),
    ),
    "TLS without a key": (
        "tls: {certificate: 'file:a'}",
        (
            "`gateway.tls.key` is missing | add `key: ...`: Where its private key is found, in PEM and without a"
            " passphrase"
        ),
    ),
}


@pytest.mark.parametrize("name", SETTING)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, name: str) -> None:
    settings, told = SETTING[name]

    found = complaints(tmp_path, f"{PLACED}gateway: {{{settings.replace('HASH', HASH)}}}", CATALOGUE)

    assert found == [f"test.yaml:10 {told}"]


def test_settings_of_a_model_that_is_placed_nowhere_are_a_warning(tmp_path: Path) -> None:
    settings = f"gateway: {{keys: {{ci: {{sha256: {HASH}, models: [idle]}}}}}}"
    found = project(tmp_path, f"{PLACED}{settings}", CATALOGUE)

    (warning,) = load_fleet_with_warnings(found.root, "test")[1]

    assert warning.what == "`idle` is placed on no host, so the gateway does not serve it"


def spec_fits(folder: Path, settings: str) -> bool:
    folder.mkdir()
    return spec(folder, f"gateway: {settings}").max_body == 32 * 1024 * 1024
