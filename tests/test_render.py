from pathlib import Path

import pytest

from stackctl.capabilities import load_fleet
from stackctl.connections import connection
from stackctl.core.connection import Connection
from stackctl.core.finding import FindingsError
from stackctl.core.secret import SecretRef
from stackctl.project import Project
from stackctl.render import jobs
from stackctl.schema.load import environments
from tests.expected import expect_files, files_of
from tests.inventory import HOSTS, fleet, project

OURS = Project(Path(__file__).parents[1])
PROGRAMS = "usr/lib/stackctl/"
"""Folder of programs on hosts; they are reviewed where they are written."""


@pytest.mark.parametrize("environment", environments(OURS.root))
def test_the_inventories_of_this_repository_render_as_reviewed(environment: str) -> None:
    made = jobs(load_fleet(OURS.root, environment), OURS)

    expect_files(
        f"inventory/{environment}",
        {
            f"{job.host}/{path}": text
            for job in made
            for path, text in files_of(job).items()
            if not path.startswith(PROGRAMS)
        },
    )


def test_the_same_inventory_gives_the_same_jobs() -> None:
    assert jobs(load_fleet(OURS.root, "prod"), OURS) == jobs(load_fleet(OURS.root, "prod"), OURS)


def test_every_file_of_ours_says_so_at_its_top() -> None:
    made = jobs(load_fleet(OURS.root, "prod"), OURS)
    files = [file for job in made for part in job.parts for file in part.files]
    files = [file for file in files if not file.path.endswith(".json")]  # which takes no comments

    assert [
        file.path for file in files if "Owned by stackctl" not in "".join(file.content.splitlines()[:2])
    ] == []


def test_hosts_come_in_order_of_name_and_capabilities_in_their_own(tmp_path: Path) -> None:
    found = project(tmp_path, HOSTS)

    made = jobs(load_fleet(found.root, "test"), found)

    assert [job.host for job in made] == ["edge", "gpu1", "gpu2"]
    assert [part.capability for part in made[1].parts] == ["system", "docker", "weights", "serving"]


def test_a_projects_own_template_wins_over_the_stock_one(tmp_path: Path) -> None:
    found = project(tmp_path, HOSTS)
    (tmp_path / "templates/system").mkdir(parents=True)
    (tmp_path / "templates/system/sysctl.conf.j2").write_text("mine\n")

    assert jobs(load_fleet(found.root, "test"), found)[0].parts[0].files[0].content == "mine\n"


@pytest.mark.parametrize(
    ("template", "finding"),
    [
        ("{{ nothing }}", "templates/system/sysctl.conf.j2: cannot be rendered: 'nothing' is undefined"),
        ("a\n{% if %}", "templates/system/sysctl.conf.j2:2: cannot be rendered: "),
    ],
)
def test_a_template_that_cannot_be_rendered_is_named(tmp_path: Path, template: str, finding: str) -> None:
    found = project(tmp_path, HOSTS)
    (tmp_path / "templates/system").mkdir(parents=True)
    (tmp_path / "templates/system/sysctl.conf.j2").write_text(template)

    with pytest.raises(FindingsError) as caught:
        jobs(load_fleet(found.root, "test"), found)

    assert str(caught.value).startswith(finding)


def test_a_host_is_reached_as_its_ssh_settings_say(tmp_path: Path) -> None:
    ssh = "{address: a.example.com, port: 2222, user: ops, sudo: true, sudo_password: env:SUDO, jump: [ops@bastion]}"
    read = fleet(tmp_path, f"hosts: {{a: {{address: 10.0.0.1, ssh: {ssh}}}}}")

    assert connection(read, Project(tmp_path), "a") == Connection(
        host="a",
        address="a.example.com",
        port=2222,
        user="ops",
        known_hosts=(f"{tmp_path}/inventory/known_hosts",),
        jump=("ops@bastion",),
        sudo=True,
        sudo_password=SecretRef("env", "SUDO"),
    )


def test_a_labs_host_is_reached_by_the_labs_key_from_inside_its_network(tmp_path: Path) -> None:
    read = fleet(tmp_path, "lab: {}\nhosts: {a: {address: 10.89.0.11}}")

    assert connection(read, Project(tmp_path), "a") == Connection(
        host="a",
        address="10.89.0.11",
        user="root",
        identity="/var/lib/stackctl-lab/test/id_ed25519",
        known_hosts=("/var/lib/stackctl-lab/test/known_hosts",),
        namespace="stackctl-test-operator",
    )
