import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VAGRANT = """
module Vagrant
  module Errors
    class VagrantError < StandardError; end
  end
  def self.configure(*); end
end
load "Vagrantfile"
begin
  Inventory.machines.each { |machine| puts machine.to_a.join(" ") }
rescue Vagrant::Errors::VagrantError => error
  puts error.message
end
"""


def machines(folder: Path, inventory: str | None, **variables: str) -> list[str]:
    """What the Vagrantfile makes of an inventory, line by line."""
    shutil.copy(ROOT / "Vagrantfile", folder)
    if inventory is not None:
        (folder / "inventory").mkdir()
        (folder / "inventory/vagrant.yaml").write_text(inventory)
    done = subprocess.run(
        ["ruby", "-e", VAGRANT],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("options", [[], ["--ignore-provider"]])
def test_vagrant_finds_the_file_valid(tmp_path: Path, options: list[str]) -> None:
    folders = {"VAGRANT_HOME": str(tmp_path / "home"), "VAGRANT_DOTFILE_PATH": str(tmp_path / "state")}
    env = os.environ | folders | {"VAGRANT_CHECKPOINT_DISABLE": "1"}

    done = subprocess.run(
        ["vagrant", "validate", *options], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "Vagrantfile validated successfully." in done.stdout


def test_the_inventory_says_which_machines_there_are(tmp_path: Path) -> None:
    inventory = """
        profiles: {new: {os: ubuntu-24.04, roles: [models]}}
        hosts:
          edge: {address: 192.168.56.11, roles: [gateway]}
          gpu1: {address: 192.168.56.12, profile: new}
          gpu2: {address: 192.168.56.13, profile: new, os: debian-12}
    """

    assert machines(tmp_path, inventory) == [
        "edge 192.168.56.11 bento/debian-13 1 1024",
        "gpu1 192.168.56.12 bento/ubuntu-24.04 2 4096",
        "gpu2 192.168.56.13 bento/debian-12 2 4096",
    ]


def test_box_and_size_can_be_given_for_one_run(tmp_path: Path) -> None:
    variables = {"STACKCTL_BOX": "mine", "STACKCTL_CPUS": "8", "STACKCTL_MEMORY": "9000"}

    assert machines(tmp_path, "hosts: {a: {address: 192.168.56.11}}", **variables) == [
        "a 192.168.56.11 mine 8 9000"
    ]


@pytest.mark.parametrize(
    ("inventory", "what"),
    [
        (None, "cannot be read"),
        ("[1]", "is no mapping"),
        ("{}", "has no hosts"),
        ("hosts: {a: 1}", "`hosts.a` is no mapping"),
        ("hosts: {a: {address: 10.0.0}}", "`hosts.a.address` is `10.0.0`, which is no address"),
        ("hosts: {a: {address: 10.0.0.1, os: plan9}}", "`hosts.a.os` is `plan9`, which has no box"),
    ],
)
def test_an_inventory_that_makes_no_machines_is_one_finding(
    tmp_path: Path, inventory: str | None, what: str
) -> None:
    finding, hint = machines(tmp_path, inventory)

    assert finding == f"inventory/vagrant.yaml  {what}"
    assert hint.startswith("hint: ")


def test_what_is_not_yaml_is_said_with_its_place(tmp_path: Path) -> None:
    finding, _ = machines(tmp_path, "hosts: [1")

    assert finding.startswith("inventory/vagrant.yaml  is not YAML: ")
    assert "line 1" in finding


def test_a_size_that_is_no_number_is_one_finding(tmp_path: Path) -> None:
    assert machines(tmp_path, "hosts: {a: {address: 10.0.0.1}}", STACKCTL_CPUS="many") == [
        "inventory/vagrant.yaml  STACKCTL_CPUS is `many`, which is no number",
        "hint: unset STACKCTL_CPUS, or write a whole number",
    ]
