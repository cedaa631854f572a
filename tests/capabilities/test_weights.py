"""Which weights a host needs, where it gets them from, and what is written for that."""

import shutil
import subprocess
from pathlib import Path

import pytest

from stackctl.capabilities import load_fleet, weights
from stackctl.capabilities.weights import Unlocked, WeightsSpec
from stackctl.project import Project
from stackctl.render import job
from stackctl.schema.fleet import Fleet
from tests.expected import expect_files, files_of
from tests.inventory import complaints, project

CATALOGUE = """
models:
  chat: {server: vllm, image: "vllm:1", weights: {repo: a/b}, api: [chat]}
  rank: {server: vllm, image: "vllm:1", weights: {repo: a/b}, api: [rerank], runner: pooling}
  own: {server: vllm, image: "vllm:1", weights: {path: own}, api: [chat]}
  new: {server: vllm, image: "vllm:1", weights: {repo: a/new, revision: v1}, api: [chat]}
  speak: {server: custom, image: "tts:1", port: 8409, api: [speech]}
"""
COMMIT = "c" * 40
LOCK = f"""a/b@main:
  commit: {COMMIT}
  files:
    config.json: {{size: 2, sha256: {"0" * 64}}}
    sub/model.safetensors: {{size: 40, sha256: {"1" * 64}}}
"""
HOSTS = """\
hosts:
  edge: {address: 10.0.0.11, roles: [gateway]}
  gpu1: {address: 10.0.0.12, roles: [models], weights: /data}
  gpu2: {address: 10.0.0.13, roles: [models]}
  gpu3: {address: 10.0.0.14, roles: [models], os: ubuntu-24.04}
"""
CHAT = "placements: {chat: [{host: gpu1, devices: [cpu]}, {host: gpu3, devices: [cpu]}]}\n"


def locked(folder: Path, environment: str) -> Project:
    found = project(folder, environment, CATALOGUE)
    (folder / "inventory/weights.lock").write_text(LOCK)
    return found


def fleet(folder: Path, environment: str) -> Fleet:
    return load_fleet(locked(folder, environment).root, "test")


def spec(folder: Path, environment: str, host: str = "gpu1") -> WeightsSpec:
    found = weights.resolve(fleet(folder, environment), host)
    assert found is not None
    return found


def names(found: WeightsSpec) -> list[str]:
    return [source.name for item in found.repositories for source in item.sources]


def test_a_host_without_models_needs_no_weights(tmp_path: Path) -> None:
    assert weights.resolve(fleet(tmp_path, HOSTS + CHAT), "edge") is None


def test_a_repository_is_fetched_once_for_all_models_that_share_it(tmp_path: Path) -> None:
    text = (
        "placements: {chat: [{host: gpu1, devices: [cpu]}], rank: [{host: gpu1, devices: [cpu], port: 8001}]}"
    )

    [item] = spec(tmp_path, HOSTS + text).repositories

    assert (item.name, item.path, item.size) == ("a/b", f"/data/hub/a/b/{COMMIT}", 42)
    assert item.files == (("config.json", 2, "0" * 64), ("sub/model.safetensors", 40, "1" * 64))


def test_weights_that_somebody_else_brings_are_only_looked_for(tmp_path: Path) -> None:
    found = spec(tmp_path, HOSTS + "placements: {own: [{host: gpu1, devices: [cpu]}]}")

    assert (found.brought, found.repositories, found.serving) == (("/data/own",), (), None)
    assert weights.templates(found) == ()


def test_a_repository_that_nobody_locked_is_told_of(tmp_path: Path) -> None:
    found = spec(tmp_path, HOSTS + "placements: {new: [{host: gpu1, devices: [cpu]}]}")

    assert (found.repositories, found.unlocked) == ((), (Unlocked("a/new@v1", "/data/hub/a/new/v1"),))


def test_hosts_that_are_to_have_the_same_are_asked_first_and_the_hub_last(tmp_path: Path) -> None:
    more = "weights: {local: /mnt/models, mirror: 'http://mirror.lan:8080'}\n"

    assert names(spec(tmp_path, HOSTS + CHAT + more)) == [
        "gpu3",
        "gpu2",
        "/mnt/models",
        "/mnt/models",
        "/mnt/models",
        "mirror.lan:8080",
        "huggingface.co",
    ]


def test_each_host_begins_with_another_of_its_peers(tmp_path: Path) -> None:
    read = fleet(tmp_path, HOSTS + CHAT.replace("}]}", "}, {host: gpu2, devices: [cpu]}]}"))

    found = {host: weights.resolve(read, host) for host in ("gpu1", "gpu2", "gpu3")}

    assert {host: names(item)[0] for host, item in found.items() if item} == {
        "gpu1": "gpu2",
        "gpu2": "gpu3",
        "gpu3": "gpu1",
    }


def test_peers_of_the_same_site_come_before_others(tmp_path: Path) -> None:
    places = {"gpu1": "hall", "gpu2": "far", "gpu3": "hall"}
    hosts = HOSTS
    for number, (name, site) in enumerate(places.items()):
        hosts = hosts.replace(
            f"{name}: {{", f"{name}: {{mesh: {{address: 10.77.0.{number + 2}, site: {site}}}, "
        )
    text = hosts + CHAT.replace("}]}", "}, {host: gpu2, devices: [cpu]}]}")

    found = spec(tmp_path, text + "network: {mesh: {subnet: 10.77.0.0/24}}\n")

    assert [source.base for source in found.repositories[0].sources][:2] == [
        f"http://10.77.0.4:8409/a/b/{COMMIT}",
        f"http://10.77.0.3:8409/a/b/{COMMIT}",
    ]


def test_every_host_with_models_serves_its_weights_to_the_fleet_so_that_models_can_move(
    tmp_path: Path,
) -> None:
    read = fleet(tmp_path, HOSTS + CHAT)

    served = {host: weights.openings(read, host) for host in read.hosts}

    assert [host for host, found in served.items() if found] == ["gpu1", "gpu2", "gpu3"]
    [opening] = served["gpu2"]
    assert (opening.port, opening.audience, opening.reason) == (8409, "fleet", "weights for other hosts")


def test_nobody_serves_where_hosts_are_not_to_get_weights_from_each_other(tmp_path: Path) -> None:
    read = fleet(tmp_path, HOSTS + CHAT + "weights: {peers: false}\n")

    assert [host for host in read.hosts if weights.openings(read, host)] == []
    assert (found := weights.resolve(read, "gpu1")) is not None
    assert (found.serving, names(found)) == (None, ["huggingface.co"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "endpoint: null",
            (
                "test.yaml:7 `chat` has the weights of a repository, and `weights` names nowhere to get them from"
                " | write one of `weights.local`, `mirror`, `endpoint`"
            ),
        ),
        (
            "endpoint: null, local: /mnt/models, token: env:T",
            (
                "test.yaml:8 `weights.token` is given, but there is no `endpoint` to send it to"
                " | take it out, or write `endpoint`"
            ),
        ),
        (
            "mirror_token: env:T",
            (
                "test.yaml:8 `weights.mirror_token` is given, but there is no `mirror` to send it to"
                " | take it out, or write `mirror`"
            ),
        ),
        (
            "mirror: 'http://me:word@mirror.lan'",
            (
                "test.yaml:8 `weights.mirror` takes a reference to a secret, not the secret"
                " | write a token by reference, in `token` or `mirror_token`;"
                " replace a secret that was ever saved here in clear"
            ),
        ),
        (
            "local: models",
            (
                "test.yaml:8 `weights.local` cannot be `models`"
                " | write an absolute path of letters, digits and `._@+=-`"
            ),
        ),
    ],
)
def test_sources_that_cannot_be_are_told(tmp_path: Path, text: str, told: str) -> None:
    found = complaints(tmp_path, f"{HOSTS}{CHAT}weights: {{{text}}}\n", CATALOGUE)

    assert [each for each in found if not each.startswith("models.yaml")] == [told]


def test_a_port_that_a_model_has_is_told(tmp_path: Path) -> None:
    text = "placements: {chat: [{host: gpu1, devices: [cpu]}], speak: [{host: gpu2, devices: [cpu]}]}\n"

    assert complaints(tmp_path, HOSTS + text, CATALOGUE)[1:] == [
        (
            "test.yaml:7 port 8409 of gpu2 is already that of `weights.port`"
            " | give the replica or the weights another port"
        )
    ]


def test_files_are_those_a_reviewer_has_seen(tmp_path: Path) -> None:
    more = "weights: {local: /mnt/models, mirror: 'http://mirror.lan', mirror_token: env:MIRROR, token: env:HUB}\n"
    found = locked(tmp_path, HOSTS + CHAT + more)
    made = job(load_fleet(found.root, "test"), found, "gpu1")

    files = files_of(made, "weights")

    assert files.pop("usr/lib/stackctl/fetch-weights").endswith('rm -rf -- "$place" "$place.lock"\n')
    expect_files("weights/gpu1", files)
    modes = {
        file.path: file.mode for part in made.parts if part.capability == "weights" for file in part.files
    }
    assert [path for path, mode in modes.items() if mode == 0o600] == [
        "/etc/stackctl/weights/hub.conf",
        "/etc/stackctl/weights/mirror.conf",
    ]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit_as_it_is(tmp_path: Path) -> None:
    found = locked(tmp_path, HOSTS + CHAT)
    text = files_of(job(load_fleet(found.root, "test"), found, "gpu1"), "weights")
    unit = tmp_path / "stackctl-weights.service"
    unit.write_text(
        text["etc/systemd/system/stackctl-weights.service"].replace("/usr/bin/busybox", "/bin/true")
    )

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
