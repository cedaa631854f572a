from pathlib import Path

import pytest

from stackctl.schema.load import load_with_warnings
from tests.inventory import CATALOGUE, HOSTS, complaints, fleet, project

GPU = "GPU-00000000-0000-4000-8000-00000000000"
EDGE = "hosts:\n  edge: {address: 10.0.0.11, roles: [gateway]}\n"  # the next line is test.yaml:4


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            EDGE + "  b: {address: 10.0.0.11}",
            "test.yaml:4 10.0.0.11 is already edge's address | give every host an address of its own",
        ),
        (
            EDGE + "  b: {address: 0.0.0.0}",
            "test.yaml:4 0.0.0.0 is no host's address | write the one it has in the hosts' own network",
        ),
        (
            EDGE + "  b: {address: 239.1.1.1}",
            "test.yaml:4 239.1.1.1 is no host's address | write the one it has in the hosts' own network",
        ),
        (
            HOSTS + "network: {names: {gpu1: 10.0.0.9}}",
            "test.yaml:6 `network.names.gpu1` is already the host gpu1 | choose another name",
        ),
        (
            EDGE + f"  a: {{address: 10.0.0.1, gpus: {{x: {{uuid: {GPU}1, id: '10de:2684'}}}}}}\n"
            f"  b: {{address: 10.0.0.2, gpus: {{y: {{uuid: {GPU}1, id: '10de:2684'}}}}}}",
            f"test.yaml:5 {GPU}1 is already GPU `x` of a | compare with `nvidia-smi -L` on both hosts",
        ),
        (
            HOSTS + "placements: {chta: [{host: gpu1, devices: [cpu]}]}",
            "test.yaml:6 `chta` is not a model of the catalogue | did you mean `chat`?",
        ),
        (
            HOSTS + "placements: {chat: [{host: gpu4, devices: [cpu]}]}",
            "test.yaml:6 `gpu4` is not one of `hosts` | did you mean `gpu2`?",
        ),
        (
            HOSTS + "placements: {chat: [{host: edge, devices: [cpu]}]}",
            "test.yaml:6 edge does not have the role `models` | add it: `hosts.edge.roles: [gateway, models]`",
        ),
        (
            HOSTS + "placements: {chat: [{host: gpu1, devices: [a]}]}",
            "test.yaml:6 gpu1 has no device `a` | there is `cpu`",
        ),
        (
            HOSTS
            + "placements:\n  chat:\n    - {host: gpu1, devices: [cpu]}\n    - {host: gpu1, devices: [cpu]}",
            "test.yaml:9 port 8000 of gpu1 is already `chat`'s | give this replica another `port`",
        ),
        (
            HOSTS
            + "placements:\n  chat: [{host: gpu1, devices: [cpu], port: 8880}]\n  speak: [{host: gpu1, devices: [cpu]}]",
            "test.yaml:8 port 8880 of gpu1 is already `chat`'s | give this replica another `port`",
        ),
        (
            (
                "hosts: {a: {address: 10.0.0.1, roles: [gateway, models]}}\n"
                "placements: {chat: [{host: a, devices: [cpu], port: 8080}]}"
            ),
            "test.yaml:3 port 8080 of a is already the gateway's | give this replica another `port`",
        ),
        (
            "hosts: {a: {address: 10.0.0.1, roles: [models]}}\nplacements: {chat: [{host: a, devices: [cpu]}]}",
            (
                "test.yaml:3 models are placed, but no host has the role `gateway`"
                " | give a host `roles: [gateway]`; one with `models` can have both"
            ),
        ),
        (
            EDGE + "  b: {address: 10.0.0.2, ssh: {user: ops}}",
            (
                "test.yaml:4 `hosts.b.ssh.user` is `ops`, who is not root"
                " | add `sudo: true` beside it, and `sudo_password` where sudo asks"
            ),
        ),
        (
            EDGE + "  b: {address: 10.0.0.2, os: debian-12, roles: [models]}",
            (
                "test.yaml:4 debian-12 has no Compose v2, which hosts with the role `models` need"
                " | install one of debian-13, ubuntu-22.04, ubuntu-24.04; the role `gateway` is fine on debian-12"
            ),
        ),
        (
            EDGE + "  b: {address: 10.0.0.2, system: {hostname: edge}}",
            "test.yaml:4 `edge` is already what edge calls itself | choose another `hostname`",
        ),
        (
            "lab: {}\nhosts: {a: {address: 10.0.0.1}}",
            "test.yaml:3 10.0.0.1 is not an address of a lab's host | choose one from 10.89.0.11 to 10.89.0.249",
        ),
        (
            "lab: {}\nhosts: {a: {address: 10.89.0.11, os: ubuntu-24.04}}",
            "test.yaml:3 a lab cannot make ubuntu-24.04 hosts | there are debian-13, debian-12",
        ),
    ],
)
def test_what_does_not_fit_together_is_found(tmp_path: Path, text: str, finding: str) -> None:
    assert complaints(tmp_path, text) == [finding]


@pytest.mark.parametrize(("more", "severities"), [("", []), ("  edge: {address: 10.0.0.11}\n", ["warning"])])
def test_a_host_alone_may_keep_its_models_to_itself(tmp_path: Path, more: str, severities: list[str]) -> None:
    root = project(tmp_path, f"hosts:\n  a: {{address: 127.0.0.1}}\n{more}").root

    assert [finding.severity for finding in load_with_warnings(root, "test")[1]] == severities


def test_gpus_whose_uuid_is_not_known_yet_are_not_one_and_the_same(tmp_path: Path) -> None:
    gpus = '{x: {pci: "0000:41:00.0"}, y: {pci: "0000:42:00.0"}}'

    assert complaints(tmp_path, EDGE + f"  a: {{address: 10.0.0.1, gpus: {gpus}}}\n") == []


def test_a_model_spread_over_devices_is_given_as_many(tmp_path: Path) -> None:
    catalogue = CATALOGUE.replace("api: [chat]", "api: [chat], tensor_parallel: 2")
    text = (
        EDGE
        + f"  a: {{address: 10.0.0.1, roles: [models], gpus: {{x: {{uuid: {GPU}1, id: '10de:2684'}}}}}}\n"
    )

    assert complaints(tmp_path, text + "placements: {chat: [{host: a, devices: [x]}]}", catalogue) == [
        "test.yaml:5 `chat` runs on 2 devices, 1 given | name 2, or change `models.chat.tensor_parallel`"
    ]


def test_a_kind_that_runs_on_one_device_has_no_setting_for_more(tmp_path: Path) -> None:
    catalogue = 'models:\n  embed: {server: tei, image: "t:1", weights: {path: e}, api: [embeddings]}\n'
    cards = ", ".join(f"{name}: {{uuid: {GPU}{number}, id: '10de:2684'}}" for number, name in enumerate("xy"))
    text = EDGE + f"  a: {{address: 10.0.0.1, roles: [models], gpus: {{{cards}}}}}\n"

    assert complaints(tmp_path, text + "placements: {embed: [{host: a, devices: [x, y]}]}", catalogue) == [
        "test.yaml:5 `embed` runs on 1 device, 2 given | name 1"
    ]


def test_models_on_one_gpu_share_its_memory(tmp_path: Path) -> None:
    catalogue = CATALOGUE + '  embed: {server: vllm, image: "v:1", weights: {path: e}, api: [embeddings]}\n'
    text = (
        EDGE
        + f"  a: {{address: 10.0.0.1, roles: [models], gpus: {{x: {{uuid: {GPU}1, id: '10de:2684'}}}}}}\n"
    )
    placed = "placements:\n  chat: [{host: a, devices: [x]}]\n  embed: [{host: a, devices: [x], port: 8001}]"

    assert complaints(tmp_path, text + placed, catalogue) == [
        (
            "test.yaml:7 models on a's GPU `x` take 184% of its memory together"
            " | lower `gpu_memory_utilization` so that they stay under 95%"
        )
    ]


def test_a_secret_that_a_placed_model_needs_is_given_by_the_environment(tmp_path: Path) -> None:
    catalogue = CATALOGUE.replace("api: [speech]", "api: [speech], env: {TTS_TOKEN: {secret: tts-token}}")
    text = HOSTS + "placements: {speak: [{host: gpu1, devices: [cpu]}]}\nsecrets: {tts-tokn: env:X}"

    assert complaints(tmp_path, text, catalogue) == [
        (
            "models.yaml:4 `tts-token` is not one of this environment's `secrets`"
            " | write `secrets: {tts-token: env:TTS_TOKEN}`; did you mean `tts-tokn`?"
        )
    ]


def test_a_model_that_is_not_placed_needs_no_secret(tmp_path: Path) -> None:
    catalogue = CATALOGUE.replace("api: [speech]", "api: [speech], env: {TTS_TOKEN: {secret: tts-token}}")

    assert fleet(tmp_path, HOSTS, catalogue).placements == {}


def test_a_wrong_host_is_not_blamed_for_what_follows_from_it(tmp_path: Path) -> None:
    text = "hosts:\n  a: {adress: 10.0.0.1, roles: [gateway, models]}\n  b: {address: 10.0.0.2}\n"

    found = complaints(tmp_path, text + "placements: {chat: [{host: a, devices: [cpu]}]}")

    assert found == ["test.yaml:3 `hosts.a.adress` is not a setting | did you mean `address`?"]


def test_a_placement_sizes_only_what_the_kind_of_server_has(tmp_path: Path) -> None:
    text = "placements: {speak: [{host: gpu1, devices: [cpu], context: 1024}]}"

    assert complaints(tmp_path, HOSTS + text) == [
        (
            "test.yaml:6 `placements.speak.0.context` is no setting of `speak`, a server of the kind `custom`"
            " | take it out"
        )
    ]


def test_a_placement_that_is_spread_wider_names_as_many_devices(tmp_path: Path) -> None:
    text = "placements: {chat: [{host: gpu1, devices: [cpu], tensor_parallel: 2}]}"

    assert complaints(tmp_path, HOSTS + text) == [
        "test.yaml:6 `chat` runs on 2 devices, 1 given | name 2, or change `tensor_parallel` beside them"
    ]
