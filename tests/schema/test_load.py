from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackctl.core.finding import Finding, FindingsError
from stackctl.schema.load import load, load_with_warnings
from tests.inventory import CATALOGUE, HOSTS, complaints, fleet, project


def test_a_fleet_is_an_environment_with_the_catalogue(tmp_path: Path) -> None:
    read = fleet(tmp_path, HOSTS + "placements: {chat: [{host: gpu1, devices: [cpu]}]}")

    assert str(read.hosts["gpu1"].address) == "10.0.0.12"
    assert read.models["chat"].server == "vllm"
    assert read.placements["chat"][0].devices == ("cpu",)


def test_a_fleet_cannot_be_changed(tmp_path: Path) -> None:
    read = fleet(tmp_path, HOSTS)

    with pytest.raises(ValueError, match="frozen"):
        setattr(read, "environment", "other")  # noqa: B010 - types would refuse it already


def test_the_same_files_give_equal_fleets(tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS).root

    assert load(root, "test") == load(root, "test")


ONE = "hosts:\n  a: {address: 10.0.0.11}\n"  # lines 2 and 3 of the file


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("hosts: {a: {address: 10.0.0.1, wieghts: /w}}", "test.yaml:2 `hosts.a.wieghts` is not a setting | did you mean `weights`?"),
        (
            "hosts:\n  a: {}",
            ("test.yaml:3 `hosts.a.address` is missing | add `address: ...`: Address in the hosts' own network:"
            " models and gateways listen on it, other hosts reach it there"),
        ),
        (
            "hosts: {a: {address: 10.0.0.300}}",
            "test.yaml:2 `hosts.a.address` cannot be `10.0.0.300` | write an IPv4 address, four numbers such as 10.0.0.11",
        ),
        ("hosts: {A_b: {address: 10.0.0.1}}", ("test.yaml:2 `hosts.A_b` has a name that does not fit"
         " | write lower-case letters, digits and hyphens, a letter first, 63 at most")),
        ("hosts: {}", "test.yaml:2 `hosts` is empty | write at least 1"),
        ("hosts: [a]", "test.yaml:2 `hosts` cannot be a list | write a mapping of `name: value` lines"),
        (ONE + "gatway: {}", "test.yaml:4 `gatway` is not a setting | did you mean `gateway`?"),
        (ONE + 'gateway: {port: "8080"}', "test.yaml:4 `gateway.port` is text, `8080` | write the number without quotes"),
        (ONE + "gateway: {port: 08080}", "test.yaml:4 `gateway.port` is text, `08080` | write the number without zeros in front"),
        ("hosts: {a: {adress: 10.0.0.1}}", "test.yaml:2 `hosts.a.adress` is not a setting | did you mean `address`?"),
        (ONE + "gateway: {size: 8}", ("test.yaml:4 `gateway.size` is not a setting | there are `keys`, `max_body`, `max_connections`,"
         " `memory`, `metrics_port`, `models`, `port`, `queue`, `queue_timeout`, `server_timeout`, `tls`, `upload_timeout`")),
        (ONE + "gateway: {body: 8}", "test.yaml:4 `gateway.body` is not a setting | did you mean `max_body`?"),
        (ONE + "gateway: {port: 0}", "test.yaml:4 `gateway.port` cannot be `0` | write at least 1"),
        (ONE + "gateway: {port: 99999}", "test.yaml:4 `gateway.port` cannot be `99999` | write at most 65535"),
        (ONE + "gateway:\n  port:", "test.yaml:5 `gateway.port` has no value | give it one, or take the line out"),
        (ONE + "network: {domain: 5}", "test.yaml:4 `network.domain` is a number, `5` | write it in quotes to make it text"),
        (ONE + "models: {}", ("test.yaml:4 `models` is not part of an environment"
         " | move it to inventory/models.yaml, which all environments share")),
        (ONE + "placements: {chat: {host: a}}", "test.yaml:4 `placements.chat` cannot be a mapping | write a list"),
        (ONE + "<<: {}", ("test.yaml:4 `<<` is not a setting"
         " | merge keys are not part of YAML 1.2; write a profile and name it with `profile`")),
        ("hosts: {a: {address: 10.0.0.1, os: debian13}}",
         "test.yaml:2 `hosts.a.os` cannot be `debian13` | did you mean `debian-13`?"),
        ('hosts: {a: {address: "10\\e[2J\\n\\x9b"}}',
         "test.yaml:2 `hosts.a.address` cannot be `10\\u001b[2J\\n\\u009b` | write an IPv4 address, four numbers such as 10.0.0.11"),
        (ONE + '"a\\nbcdefg": 1', ("test.yaml:4 `a\\nbcdefg` is not a setting | there are `environment`, `gateway`, `hosts`, `lab`, `locked`, `network`,"
         " `placements`, `profiles`, `secrets`, `weights`")),
        ('hosts: {a: {address: 10.0.0.1, system: {sysctl: {vm.swappiness: "1\\nkernel.x = 2"}}}}',
         'test.yaml:2 `hosts.a.system.sysctl."vm.swappiness"` cannot be `1\\nkernel.x = 2` | write a number, or text of one line'),
        ("hosts: {a: {address: 10.0.0.1, ssh: {sudo: yes}}}",
         "test.yaml:2 `hosts.a.ssh.sudo` cannot be `yes` | write `true` or `false`"),
        ("hosts: {a: {address: 10.0.0.1, roles: [models, models]}}",
         "test.yaml:2 `hosts.a.roles.1` lists `models` again | keep one of them"),
        ("hosts: {a: {address: 10.0.0.1, system: {sysctl: {vm.swappiness: 1.5}}}}",
         'test.yaml:2 `hosts.a.system.sysctl."vm.swappiness"` is a number, `1.5` | write it in quotes to make it text'),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_its_line_and_a_way_out(
    tmp_path: Path, text: str, finding: str
) -> None:
    assert complaints(tmp_path, text) == [finding]


@pytest.mark.parametrize(
    ("entry", "finding"),
    [
        ("{server: vlm}", "2 `models.x.server` cannot be `vlm` | did you mean `vllm`?"),
        ("{image: a:1}", "2 `models.x.server` is missing | add `server: ...`: `vllm`"),
        ("{server: custom, image: a:1, api: [speech], port: 1, helth: /}", "2 `models.x.helth` is not a setting | did you mean `health`?"),
        ("{server: custom, image: a:1, api: [speech], port: 1, context: 5}", ("2 `models.x.context` is not a setting | there are `api`, `architectures`, `args`, `confined`, `cpus`,"
         " `cuda`, `entrypoint`, `env`, `health`, `image`, `max_requests`, `memory`, `metrics`, `paths`, `port`, `read_only`, `reads`, `server`,"
         " `shm_size`, `start_seconds`, `stop_seconds`, `tmpfs`, `user`, `volumes`, `weights`")),
        ("{server: custom, image: a:latest, api: [speech], port: 1}", ("2 `models.x.image` cannot be `a:latest`"
         " | write `name:version`, or `registry:port/name:version`; `latest` is no version")),
        ("{server: custom, image: a:1, api: [speach], port: 1}", "2 `models.x.api.0` cannot be `speach` | did you mean `speech`?"),
        ("{server: custom, image: a:1, api: [], port: 1}", "2 `models.x` answers nothing | name its `api`, or `paths` of its own"),
        ("{server: vllm, image: a:1, api: [], weights: {path: w}}", "2 `models.x.api` is empty | write at least 1"),
        ("{server: custom, image: a:1, api: [speech], port: 1, weights: {path: ../x}}", ("2 `models.x.weights.path` cannot be `../x`"
         " | write a path below the host's weights directory, without `..`")),
        ("{server: vllm, image: a:1, api: [chat], weights: {repo: a/b, revision: ../x}}", ("2 `models.x.weights.revision` cannot be `../x`"
         " | write a branch, a tag or a commit")),
        ("{server: vllm, image: a:1, api: [chat], weights: {path: w, repo: a/b, revision: 1111111111111111111111111111111111111111}}", ("2 `models.x.weights.path` does not go with `repo` and `revision`"
         " | keep one kind")),
        ("{server: vllm, image: a:1, api: [chat], weights: {path: w}, args: [--seed=1]}",
         "2 `models.x.args` is not a setting | did you mean `extra_args`?"),
        ("{server: vllm, image: a:1, api: [chat], weights: {path: w}, extra_args: [--port=1]}",
         "2 `models.x.extra_args.0` cannot be `--port=1` | `port` of the placement decides that"),
    ],
)  # fmt: skip
def test_a_wrong_catalogue_is_named_the_same_way(tmp_path: Path, entry: str, finding: str) -> None:
    assert complaints(tmp_path, HOSTS, f"models:\n  x: {entry}") == [f"models.yaml:{finding}"]


def test_everything_wrong_is_found_at_once(tmp_path: Path) -> None:
    text = """\
hosts:
  edge: {address: 10.0.0.11, roles: [gatway]}
  gpu1: {address: 10.0.0.12, roles: [models]}
  gpu2: {address: 10.0.0.12, roles: [models]}
placements:
  chat: [{host: gpu3, devices: [cpu]}, {host: edge, devices: [cpu]}]
  talk: [{host: gpu1, devices: [b]}]
gateway: {port: 8080.5}
"""
    assert complaints(tmp_path, text, CATALOGUE + "catalog: {}\n") == [
        "models.yaml:5 `catalog` is not a setting of the catalogue | there is `models`",
        "test.yaml:3 `hosts.edge.roles.0` cannot be `gatway` | did you mean `gateway`?",
        "test.yaml:5 10.0.0.12 is already gpu1's address | give every host an address of its own",
        "test.yaml:7 `gpu3` is not one of `hosts` | did you mean `gpu2`?",
        "test.yaml:8 `talk` is not a model of the catalogue | there are `chat`, `speak`",
        "test.yaml:8 gpu1 has no device `b` | there is `cpu`",
        "test.yaml:9 `gateway.port` cannot be `8080.5` | write a whole number",
    ]


def test_a_doubled_setting_does_not_hide_what_else_is_wrong(tmp_path: Path) -> None:
    found = complaints(tmp_path, HOSTS + "gateway: {}\ngateway: {}\ngatway: {}\n")

    assert [line.partition(" | ")[0] for line in found] == [
        "test.yaml:7 `gateway` stands here again, first in line 6",
        "test.yaml:8 `gatway` is not a setting",
    ]


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["gpu1", "cpu"]),
)
NAMES = st.sampled_from(
    ["hosts", "gpu1", "address", "placements", "chat", "host", "devices", "profiles", "profile", "ssh", "gateway", "secrets",
     "port", "environment", "system", "docker", "registries", "lab", "network", "names", "gpus", "a", "uuid", "é", "x.y"]
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, TREES, max_size=6))
def test_any_tree_loads_or_is_refused_with_findings(tmp_path: Path, tree: dict[str, object]) -> None:
    import yaml  # noqa: PLC0415 - a writer for this test alone

    inventory = tmp_path / "inventory"
    inventory.mkdir(exist_ok=True)
    (inventory / "models.yaml").write_text(CATALOGUE)
    (inventory / "test.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True))
    assert all(finding.where.startswith("inventory/") for finding in _findings(tmp_path))


def _findings(root: Path) -> tuple[Finding, ...]:
    try:
        return load_with_warnings(root, "test")[1]
    except FindingsError as error:
        return error.findings
