from pathlib import Path

from stackctl.capabilities import docker, load_fleet
from stackctl.render import job
from tests.expected import expect_files, files_of
from tests.inventory import HOSTS, complaints, fleet, project

GPU = "GPU-00000000-0000-4000-8000-000000000001"


def host(settings: str) -> str:
    return f"hosts: {{a: {{address: 10.0.0.1, roles: [models], {settings}}}}}"


def test_only_hosts_that_carry_models_get_the_engine(tmp_path: Path) -> None:
    read = fleet(tmp_path, HOSTS)

    assert docker.resolve(read, "edge") is None
    assert docker.resolve(read, "gpu1") is not None


def test_packages_are_those_of_the_system(tmp_path: Path) -> None:
    read = fleet(tmp_path, host("os: ubuntu-24.04"))

    spec = docker.resolve(read, "a")

    assert spec is not None
    assert spec.packages == ("docker-compose-v2", "docker.io")


def test_daemon_json_gets_only_keys_of_ours(tmp_path: Path) -> None:
    settings = f"gpus: {{x: {{uuid: {GPU}, id: '10de:2684'}}}}, docker: {{insecure_registries: [b:1, a:1], address_pool: 172.30.0.0/16}}"

    spec = docker.resolve(fleet(tmp_path, host(settings)), "a")

    assert spec is not None
    assert spec.daemon == {
        "live-restore": True,
        "log-driver": "local",
        "features": {"cdi": True},
        "default-runtime": "runc",
        "insecure-registries": ["a:1", "b:1"],
        "default-address-pools": [{"base": "172.30.0.0/16", "size": 24}],
    }


def test_a_registry_taken_out_of_the_inventory_is_no_longer_trusted(tmp_path: Path) -> None:
    spec = docker.resolve(fleet(tmp_path, host("docker: {}")), "a")

    assert spec is not None
    assert spec.daemon["insecure-registries"] == []


def test_logins_hold_places_of_secrets_and_are_for_root_alone(tmp_path: Path) -> None:
    registries = "{docker.io: {user: corp, password: env:HUB}, r.lan: {user: u, password: file:/k}}"
    found = project(tmp_path, host(f"docker: {{registries: {registries}}}"))
    made = job(load_fleet(found.root, "test"), found, "a")

    expect_files("docker/a", files_of(made, "docker"))
    [file] = [file for part in made.parts if part.capability == "docker" for file in part.files]
    assert (file.mode, [ref.target for ref in file.secrets]) == (0o600, ["HUB", "/k"])


CARD = f"{{uuid: {GPU}, id: '10de:2684'}}"


def test_hosts_with_gpus_for_containers_get_the_toolkit_at_one_version(tmp_path: Path) -> None:
    spec = docker.resolve(fleet(tmp_path, host(f"gpus: {{x: {CARD}}}")), "a")

    assert spec is not None
    assert spec.toolkit is not None
    assert spec.toolkit.packages == (
        "libnvidia-container-tools=1.20.0-1",
        "libnvidia-container1=1.20.0-1",
        "nvidia-container-toolkit=1.20.0-1",
        "nvidia-container-toolkit-base=1.20.0-1",
    )
    assert spec.toolkit.source.fingerprint == "C95B321B61E88C1809C4F759DDCAE044F796ECB0"
    assert spec.toolkit.uuids == (GPU,)


def test_of_a_card_that_is_cut_the_instances_that_have_a_name_must_be_described(tmp_path: Path) -> None:
    part = "MIG-00000000-0000-4000-8000-00000000000a"
    card = f"{{uuid: {GPU}, tuning: {{mig: [3g.40gb]}}, instances: {{half: {part}}}}}"
    spec = docker.resolve(fleet(tmp_path, host(f"gpus: {{x: {card}}}")), "a")

    assert spec is not None
    assert spec.toolkit is not None
    assert spec.toolkit.uuids == (part,)


def test_who_wants_no_toolkit_or_has_no_gpu_for_containers_gets_none(tmp_path: Path) -> None:
    passed = "{pci: '0000:41:00.0', id: '10de:2684', use: passthrough}"
    settings = (
        "docker: {}",
        f"gpus: {{x: {CARD}}}, docker: {{toolkit: {{install: 'no'}}}}",
        f"gpus: {{x: {passed}}}",
    )
    for number, written in enumerate(settings):
        folder = tmp_path / str(number)
        folder.mkdir()
        spec = docker.resolve(fleet(folder, host(written)), "a")
        assert spec is not None
        assert spec.toolkit is None


def test_gpus_are_described_at_every_boot_before_the_engine_starts(tmp_path: Path) -> None:
    found = project(tmp_path, host(f"gpus: {{x: {CARD}}}"))
    made = job(load_fleet(found.root, "test"), found, "a")

    expect_files("docker/gpu", files_of(made, "docker"))


def test_two_repositories_cannot_share_an_address(tmp_path: Path) -> None:
    mirror = "repository: {url: 'http://mirror.lan/nvidia'}"
    driver, toolkit = (
        f"driver: {{source: nvidia, branch: 580, {mirror}}}",
        f"docker: {{toolkit: {{{mirror}}}}}",
    )

    assert complaints(tmp_path, host(f"gpus: {{x: {CARD}}}, {driver}, {toolkit}")) == [
        (
            "test.yaml:2 apt trusts one key for each address, and the driver's repository has this one"
            " | give each of the two a folder of its own on the mirror"
        )
    ]
