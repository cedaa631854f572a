from pathlib import Path

from stackctl.capabilities import load_fleet, serving
from stackctl.capabilities.serving import Replica, ServingSpec
from stackctl.core.opening import Opening
from stackctl.render import job
from stackctl.schema.fleet import Fleet
from stackctl.schema.load import load
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


def spec(read: Fleet, host: str) -> ServingSpec:
    found = serving.resolve(read, host)
    assert found is not None
    return found


def test_replicas_are_where_the_placements_say(tmp_path: Path) -> None:
    text = "placements: {chat: [{host: gpu2, devices: [cpu]}, {host: gpu1, devices: [cpu], port: 9000}]}"

    assert serving.replicas(fleet(tmp_path, HOSTS + text, CATALOGUE), "chat") == (
        Replica("gpu2", "10.0.0.13", 8000, 8, "chat"),
        Replica("gpu1:9000", "10.0.0.12", 9000, 8, "chat-9000"),
    )


def test_a_model_placed_nowhere_has_no_replicas(tmp_path: Path) -> None:
    assert serving.replicas(fleet(tmp_path, HOSTS, CATALOGUE), "chat") == ()


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
        "/usr/local/lib/stackctl/drain.pl": 0o644,
        "/etc/systemd/system/stackctl-drain.service": 0o644,
        "/etc/stackctl/serving/compose.yaml": 0o644,
        "/etc/stackctl/serving/speak.env": 0o600,
    }


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
