"""The driver's whole way on a real host, from a stand-in for NVIDIA's repository: its packages are empty.

The tests build on each other, in order.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackctl.lab import lifecycle
from stackctl.lab.shell import inside
from stackctl.lab.spec import OPERATOR_ADDRESS
from tests.apt.flat import Key, Package, write
from tests.apt.vendor import driver
from tests.lab.node import Node

pytestmark = pytest.mark.lab

PORT = 8099
URL = f"http://{OPERATOR_ADDRESS}:{PORT}/cuda"
VERSIONS = ("580.126.09", "580.178.04", "590.48.01")
OLD_LIST = "/etc/apt/sources.list.d/cuda-debian13-x86_64.list"


TOOLKIT = (
    "libnvidia-container-tools",
    "libnvidia-container1",
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
)
CTK = """#!/bin/sh
# Of all that nvidia-ctk does: `config --in-place --config-file=FILE --set KEY=VALUE`.
[ "$1 $2 $4" = "config --in-place --set" ] || exit 2
mkdir -p /etc/nvidia-container-runtime
echo "${5%=*} = ${5#*=}" >"${3#--config-file=}"
"""
UUID = "GPU-00000000-0000-4000-8000-000000000001"


def offered(folder: Path, key: Key) -> None:
    """Repositories like NVIDIA's, each with its key beside it."""
    # the headers' own are large, and these are taken for being newer
    wanted = [
        *(each for version in VERSIONS for each in driver(version)),
        Package("linux-headers-amd64", "99"),
    ]
    publish(folder / "cuda", key, wanted, "NVIDIA CUDA")
    tools = [Package(name, f"{version}-1") for name in TOOLKIT for version in ("1.20.0", "1.21.0")]
    publish(folder / "toolkit", key, tools, "NVIDIA CONTAINER TOOLKIT")


def publish(folder: Path, key: Key, packages: Sequence[Package], label: str) -> None:
    folder.mkdir()
    write(folder, key, [built(folder, package) for package in packages], origin="NVIDIA", label=label)
    key.write(folder / "key.asc", armored=True)


def built(folder: Path, package: Package) -> Package:
    """With an empty file of its own."""
    root = folder / "building" / f"{package.name}_{package.version}"
    (root / "DEBIAN").mkdir(parents=True)
    own = (
        "Package:",
        "Source:",
        "Version:",
        "Architecture:",
        "Maintainer:",
        "Depends:",
        "Provides:",
        "Conflicts:",
        "Description:",
    )
    lines = [line for line in package.paragraph().splitlines() if line.startswith(own)]
    text = "\n".join(lines).replace("Nobody <nobody@example.org>", "cudatools <cudatools@nvidia.com>")
    (root / "DEBIAN/control").write_text(f"{text}\n")
    if package.name == "nvidia-container-toolkit-base":
        (root / "usr/bin").mkdir(parents=True)
        (root / "usr/bin/nvidia-ctk").write_text(CTK)
        (root / "usr/bin/nvidia-ctk").chmod(0o755)
    deb = folder / f"{package.name}_{package.version}_amd64.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--build", str(root), str(deb)], check=True, capture_output=True)
    return package.of(deb)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Key]:
    made = Key(tmp_path_factory.mktemp("key") / "gnupg")
    yield made
    made.end()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Iterator[Node]:
    served = tmp_path_factory.mktemp("served")
    offered(served, key)
    node = Node.of(tmp_path_factory.mktemp("project"), "t-driver")
    lifecycle.up(node.site.spec, lambda _: None)
    words = [
        sys.executable,
        "-m",
        "http.server",
        str(PORT),
        "--bind",
        str(OPERATOR_ADDRESS),
        "-d",
        str(served),
    ]
    server = subprocess.Popen(
        [str(word) for word in inside(node.site.spec.namespace("operator"), words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    node.on(f"echo 'Acquire::http::Proxy::{OPERATOR_ADDRESS} \"DIRECT\";' >/etc/apt/apt.conf.d/99direct")
    node.on(
        f"echo 'deb https://developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64/ /' >{OLD_LIST}"
    )
    yield node
    server.kill()
    server.wait()
    lifecycle.down(node.lab)


def declare(node: Node, key: Key, containers: dict[str, Any] | None = None, **settings: Any) -> None:
    """What the inventory says of the host's driver from now on."""
    repository = {"url": URL, "key": f"{URL}/key.asc", "fingerprint": key.fingerprint}
    wanted = {"source": "nvidia", "repository": repository, **settings}
    host = {
        "address": "10.89.0.11",
        "os": "debian-13",
        "system": {"time": "external"},
        "driver": wanted,
        **(containers or {}),
    }
    text = yaml.safe_dump({"environment": node.lab, "lab": {}, "hosts": {"node": host}})
    (node.site.folder / f"inventory/{node.lab}.yaml").write_text(text)


def versions(node: Node) -> set[str]:
    """Of the driver's packages."""
    names = "nvidia-driver-cuda nvidia-kernel-open-dkms libcuda1"
    return set(node.on(f"dpkg-query -W -f '${{Version}}\\n' {names}").split())


def test_what_another_installation_left_is_named_and_nothing_is_changed(node: Node, key: Key) -> None:
    declare(node, key, branch=580)

    done = node.apply()

    assert done.returncode == 1
    assert f"{OLD_LIST}" in done.stderr
    assert "`driver: {leftovers: remove}`" in done.stderr
    assert node.on("ls /etc/apt/preferences.d /etc/modprobe.d | grep stackctl || echo none") == "none\n"


def test_a_key_of_another_fingerprint_is_not_trusted(node: Node, key: Key) -> None:
    declare(
        node,
        key,
        branch=580,
        leftovers="remove",
        repository={"url": URL, "key": f"{URL}/key.asc", "fingerprint": "A" * 40},
    )

    done = node.apply()

    assert done.returncode == 1
    assert f"the key at {URL}/key.asc is not {'A' * 40} alone: nothing was trusted" in done.stderr
    assert node.on("ls /usr/share/keyrings | grep stackctl || echo none") == "none\n"


def test_the_branch_is_installed_at_its_newest_version_and_held(node: Node, key: Key) -> None:
    declare(node, key, branch=580, leftovers="remove")

    done = node.apply()

    assert done.returncode == 0, done.stderr
    assert versions(node) == {"580.178.04-1"}
    assert {"nvidia-driver-cuda", "nvidia-kernel-open-dkms"} <= set(node.on("apt-mark showhold").split())
    assert node.plan() == []
    assert node.on(f"ls {OLD_LIST} 2>&1 || true").endswith("No such file or directory\n")


def test_an_upgrade_by_hand_does_not_get_past_the_pin(node: Node) -> None:
    node.on("apt-get -q -y -o Debug::NoLocking=1 upgrade >/dev/null 2>&1 || true")

    assert versions(node) == {"580.178.04-1"}


def test_another_branch_is_an_upgrade_that_says_what_becomes_what(node: Node, key: Key) -> None:
    declare(node, key, branch=590, leftovers="remove")

    done = node.apply()

    assert done.returncode == 0, done.stderr
    assert "nvidia-driver-cuda 580.178.04-1 becomes 590" in done.stdout
    assert versions(node) == {"590.48.01-1"}
    assert node.plan() == []


def test_the_former_inventory_goes_back_and_the_record_has_both(node: Node, key: Key) -> None:
    declare(node, key, branch=580, leftovers="remove")

    done = node.apply()

    assert done.returncode == 0, done.stderr
    assert versions(node) == {"580.178.04-1"}
    steps = [step["reason"] for visit in node.history() for step in visit["steps"]]
    moves = [reason for reason in steps if "nvidia-driver-cuda" in reason and "becomes" in reason]
    assert ["becomes 590" in moves[0], "590.48.01-1 becomes 580" in moves[1]] == [True, True]


def test_an_exact_version_is_taken_though_a_newer_one_is_there(node: Node, key: Key) -> None:
    declare(node, key, version="580.126.09", leftovers="remove")

    done = node.apply()

    assert done.returncode == 0, done.stderr
    assert versions(node) == {"580.126.09-1"}
    assert node.plan() == []


def test_drift_names_a_driver_that_was_moved_by_hand(node: Node) -> None:
    move = "nvidia-driver-cuda=580.178.04-1 libcuda1=580.178.04-1 nvidia-persistenced=580.178.04-1"
    node.on(f"apt-get install -q -y --allow-change-held-packages {move} >/dev/null 2>&1")

    done = node.site.stackctl("drift", node.lab)

    assert done.returncode == 3
    assert "package nvidia-driver-cuda" in done.stdout
    assert "version 580.126.09-1 became 580.178.04-1" in done.stdout
    assert node.apply().returncode == 0
    assert versions(node) == {"580.126.09-1"}


def test_the_container_toolkit_comes_at_one_version_and_images_cannot_take_gpus(node: Node, key: Key) -> None:
    url = URL.replace("cuda", "toolkit")
    repository = {"url": url, "key": f"{url}/key.asc", "fingerprint": key.fingerprint}
    containers = {
        "roles": ["models"],
        "gpus": {"a": {"uuid": UUID, "id": "10de:2684"}},
        "docker": {"toolkit": {"repository": repository}},
    }
    declare(node, key, containers, version="580.126.09", leftovers="remove")

    done = node.apply()

    assert done.returncode == 0, done.stderr

    assert set(node.on(f"dpkg-query -W -f '${{Version}}\\n' {' '.join(TOOLKIT)}").split()) == {"1.20.0-1"}
    assert set(TOOLKIT) <= set(node.on("apt-mark showhold").split())
    daemon = json.loads(node.on("cat /etc/docker/daemon.json"))
    assert (daemon["features"], daemon["default-runtime"]) == ({"cdi": True}, "runc")
    told = node.on("cat /etc/nvidia-container-runtime/config.toml")
    assert told == "accept-nvidia-visible-devices-envvar-when-unprivileged = false\n"
    assert node.on("docker info --format '{{json .CDISpecDirs}}'") == '["/etc/cdi","/var/run/cdi"]\n'
    assert node.plan() == []


def test_the_engine_is_not_restarted_without_a_change(node: Node) -> None:
    before = node.on("systemctl show -p InvocationID --value docker.service")

    assert node.apply().returncode == 0
    assert node.on("systemctl show -p InvocationID --value docker.service") == before
