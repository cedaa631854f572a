from pathlib import Path
from typing import get_args

from stackctl.capabilities import load_fleet, serving
from stackctl.capabilities.serving import ServingSpec
from stackctl.core.opening import Opening
from stackctl.render import job
from stackctl.schema.fleet import Fleet
from stackctl.schema.load import load
from stackctl.schema.replica import Replica, replicas
from stackctl.servers import ModelServer
from tests.expected import expect_files, files_of
from tests.inventory import HOSTS, fleet, project

CATALOGUE = """
models:
  chat: {server: vllm, image: "vllm:1", weights: {path: tiny}, api: [chat], max_num_seqs: 8}
  big:
    server: vllm
    image: vllm:1
    weights: {repo: a/b, revision: 0123456789012345678901234567890123456789}
    api: [chat]
    tensor_parallel: 2
  speak:
    server: custom
    image: tts:1
    port: 8880
    api: [speech]
    args: [--price, $5]
    volumes: {voices: /var/voices}
    env: {LANG: C.UTF-8, TTS_TOKEN: {secret: tts}}
"""
GPUS = """\
hosts:
  edge: {address: 10.0.0.11, roles: [gateway]}
  gpu1:
    address: 10.0.0.12
    roles: [models]
    gpus:
      a: {uuid: GPU-00000000-0000-4000-8000-000000000001}
      b: {uuid: GPU-00000000-0000-4000-8000-000000000002}
placements:
  big: [{host: gpu1, devices: [a, b], port: 8001}]
  chat: [{host: gpu1, devices: [cpu]}]
  speak: [{host: gpu1, devices: [cpu]}]
secrets: {tts: env:TTS}
"""
KINDS = """
models:
  chat:
    server: vllm
    image: vllm/vllm-openai:v0.33.0
    weights: {path: llama}
    api: [chat]
    lora: {sql: {path: adapters/sql}}
    speculative: {method: eagle3, tokens: 3, draft: {path: eagle}}
    tool_call_parser: llama3_json
    cpus: 8
    memory: 64G
  depth:
    server: custom
    image: depth:1
    port: 7000
    paths: [/v1/depth]
    entrypoint: [serve]
    tmpfs: [/scratch]
    user: "1000"
    read_only: true
    confined: true
    memory: 8G
  embed: {server: tei, image: "tei:89-1.9", weights: {path: bge-m3}, api: [embeddings], pooling: cls}
  hear:
    server: speaches
    image: speaches:0.9
    weights: {repo: Systran/faster-whisper-large-v3, revision: 0123456789012345678901234567890123456789}
    api: [transcriptions]
  omni: {server: vllm_omni, image: "omni:v0.30.0", weights: {path: qwen-image}, api: [images], cfg_parallel: 2}
  paint: {server: comfyui, image: "comfyui:0.9", weights: {path: comfy}}
  speak: {server: kokoro, image: "kokoro-fastapi-gpu:0.3.0", default_voice: bf_emma}
  write: {server: sglang, image: "sglang:v0.5.23", weights: {path: qwen}, api: [chat], context: 4096}
"""
PLACED = """\
hosts:
  edge: {address: 10.0.0.11, roles: [gateway]}
  gpu3:
    address: 10.0.0.14
    roles: [models]
    gpus:
      a: {uuid: GPU-00000000-0000-4000-8000-000000000001}
      b: {uuid: GPU-00000000-0000-4000-8000-000000000002}
placements:
  chat: [{host: gpu3, devices: [a]}]
  depth: [{host: gpu3, devices: [cpu]}]
  embed: [{host: gpu3, devices: [b], port: 8080}]
  hear: [{host: gpu3, devices: [b], port: 8001}]
  omni: [{host: gpu3, devices: [a, b], port: 8002}]
  paint: [{host: gpu3, devices: [b]}]
  speak: [{host: gpu3, devices: [b]}]
  write: [{host: gpu3, devices: [a]}]
"""


def spec(read: Fleet, host: str) -> ServingSpec:
    found = serving.resolve(read, host)
    assert found is not None
    return found


def test_replicas_are_where_the_placements_say(tmp_path: Path) -> None:
    text = "placements: {chat: [{host: gpu2, devices: [cpu]}, {host: gpu1, devices: [cpu], port: 9000}]}"

    assert replicas(fleet(tmp_path, HOSTS + text, CATALOGUE), "chat") == (
        Replica("gpu2", "10.0.0.13", 8000, 8, "chat"),
        Replica("gpu1:9000", "10.0.0.12", 9000, 8, "chat-9000"),
    )


def test_a_placement_may_size_its_replica(tmp_path: Path) -> None:
    text = "placements: {chat: [{host: gpu2, devices: [cpu]}, {host: gpu1, devices: [cpu], max_num_seqs: 2}]}"
    read = fleet(tmp_path, HOSTS + text, CATALOGUE)

    assert [item.max_requests for item in replicas(read, "chat")] == [8, 2]
    assert "--max-num-seqs 2" in " ".join(spec(read, "gpu1").project.services["chat"].command)
    assert "--max-num-seqs 8" in " ".join(spec(read, "gpu2").project.services["chat"].command)


def test_a_model_placed_nowhere_has_no_replicas(tmp_path: Path) -> None:
    assert replicas(fleet(tmp_path, HOSTS, CATALOGUE), "chat") == ()


def test_a_second_replica_does_not_rename_the_first(tmp_path: Path) -> None:
    text = "placements: {chat: [{host: gpu1, devices: [cpu]}, {host: gpu1, devices: [cpu], port: 8001}]}"

    services = spec(fleet(tmp_path, HOSTS + text, CATALOGUE), "gpu1").project.services

    assert list(services) == ["chat", "chat-8001"]


def test_a_host_that_lost_its_last_model_still_has_an_empty_project(tmp_path: Path) -> None:
    read = fleet(tmp_path, HOSTS, CATALOGUE)

    assert spec(read, "gpu1").project.services == {}
    assert serving.resolve(read, "edge") is None


def test_the_health_of_a_container_is_asked_at_the_hosts_address(tmp_path: Path) -> None:
    running = spec(fleet(tmp_path, GPUS, CATALOGUE), "gpu1").running

    assert [(item.service, item.health_url) for item in running] == [
        ("big-8001", "http://10.0.0.12:8001/health"),
        ("chat", "http://10.0.0.12:8000/health"),
        ("speak", "http://10.0.0.12:8880/health"),
    ]


def test_an_image_of_the_lock_is_pulled_by_digest(tmp_path: Path) -> None:
    read = fleet(tmp_path, GPUS, CATALOGUE, lock=f'"vllm:1": sha256:{"0" * 64}\n')

    assert spec(read, "gpu1").images == ("tts:1", f"vllm@sha256:{'0' * 64}")


def test_another_place_of_a_secret_recreates_its_container_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    before = spec(fleet(tmp_path / "a", GPUS, CATALOGUE), "gpu1").project.services
    after = spec(
        fleet(tmp_path / "b", GPUS.replace("env:TTS", "file:/tts"), CATALOGUE), "gpu1"
    ).project.services

    assert [name for name in before if before[name] != after[name]] == ["speak"]


def test_two_models_cannot_be_one_container(tmp_path: Path) -> None:
    catalogue = CATALOGUE + '  chat-9000: {server: custom, image: "x:1", port: 7000, api: [chat]}\n'
    text = (
        "placements:\n  chat: [{host: gpu1, devices: [cpu], port: 9000}]\n"
        "  chat-9000: [{host: gpu1, devices: [cpu]}]\n"
    )
    read = load(project(tmp_path, HOSTS + text, catalogue).root, "test")

    assert [problem.what for problem in serving.check(read)] == [
        "`chat-9000` and `chat` would both be the container `chat-9000` of gpu1"
    ]


def test_files_are_those_a_reviewer_has_seen(tmp_path: Path) -> None:
    found = project(tmp_path, GPUS, CATALOGUE)
    made = job(load_fleet(found.root, "test"), found, "gpu1")

    expect_files("serving/gpu1", files_of(made, "serving"))
    modes = {
        file.path: file.mode for part in made.parts if part.capability == "serving" for file in part.files
    }
    assert modes == {
        "/usr/lib/stackctl/drain.pl": 0o644,
        "/etc/systemd/system/stackctl-drain.service": 0o644,
        "/etc/stackctl/serving/compose.yaml": 0o644,
        "/etc/stackctl/serving/speak.env": 0o600,
    }


def test_every_kind_of_server_is_the_container_a_reviewer_has_seen(tmp_path: Path) -> None:
    found = project(tmp_path, PLACED, KINDS)

    expect_files("serving/gpu3", files_of(job(load_fleet(found.root, "test"), found, "gpu3"), "serving"))


def test_every_kind_of_server_is_among_those_a_reviewer_has_seen(tmp_path: Path) -> None:
    kinds = get_args(get_args(ModelServer)[0])

    assert {type(server) for server in fleet(tmp_path, PLACED, KINDS).models.values()} == set(kinds)


def test_adapters_must_be_on_the_host_like_the_weights(tmp_path: Path) -> None:
    assert {
        path.rpartition("/weights/")[2] for path in spec(fleet(tmp_path, PLACED, KINDS), "gpu3").weights
    } >= {
        "llama",
        "adapters/sql",
        "eagle",
    }


def test_an_instance_of_a_gpu_reaches_the_container_by_its_own_uuid(tmp_path: Path) -> None:
    part = "MIG-00000000-0000-4000-8000-00000000000a"
    more = f"        tuning: {{mig: [3g.40gb, 3g.40gb]}}\n        instances: {{half: {part}}}\n"
    card = "      a:\n        uuid: GPU-00000000-0000-4000-8000-000000000001\n" + more
    inventory = (
        "hosts:\n  edge: {address: 10.0.0.11, roles: [gateway]}\n"
        "  g:\n    address: 10.0.0.12\n    roles: [models]\n    gpus:\n" + card
    )
    read = fleet(tmp_path, inventory + "placements: {chat: [{host: g, devices: [half]}]}\n", CATALOGUE)

    deploy = spec(read, "g").project.services["chat"].deploy

    assert deploy is not None
    assert deploy.resources.reservations is not None
    assert deploy.resources.reservations.devices[0].device_ids == (f"nvidia.com/gpu={part}",)


def test_an_empty_project_is_a_project(tmp_path: Path) -> None:
    found = project(tmp_path, HOSTS, CATALOGUE)

    expect_files("serving/gpu2", files_of(job(load_fleet(found.root, "test"), found, "gpu2"), "serving"))


def test_a_model_with_one_replica_is_known_to_have_no_other(tmp_path: Path) -> None:
    text = """placements:
  chat: [{host: gpu1, devices: [cpu]}, {host: gpu2, devices: [cpu]}]
  speak: [{host: gpu1, devices: [cpu]}]
secrets: {tts: env:TTS}
"""
    running = spec(fleet(tmp_path, HOSTS + text, CATALOGUE), "gpu1").running

    assert [(item.service, item.alone) for item in running] == [("chat", False), ("speak", True)]


def test_a_replica_warms_up_with_a_small_request_of_its_api(tmp_path: Path) -> None:
    running = spec(fleet(tmp_path, GPUS, CATALOGUE), "gpu1").running

    body = '{"model": "chat", "prompt": "a", "max_tokens": 1}'
    assert [item.warm_up for item in running][1:] == [("http://10.0.0.12:8000/v1/completions", body), None]


def test_gateways_may_ask_a_host_with_replicas_which_are_drained(tmp_path: Path) -> None:
    read = fleet(tmp_path, GPUS, CATALOGUE)

    asked = Opening(7980, "tcp", "gateways", "drained replicas")
    assert [host for host in ("edge", "gpu1") if asked in serving.openings(read, host)] == ["gpu1"]


def test_no_replica_may_have_the_port_at_which_gateways_ask(tmp_path: Path) -> None:
    text = "placements: {chat: [{host: gpu1, devices: [cpu], port: 7980}]}"
    read = load(project(tmp_path, HOSTS + text, CATALOGUE).root, "test")

    assert [problem.what for problem in serving.check(read)] == [
        "port 7980 of gpu1 is where gateways ask which replicas are being drained"
    ]
