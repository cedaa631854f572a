"""The deploys against pyinfra's own `@fake` connector: which operations, in which order, with which commands."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all
from pyinfra.api.deploy import add_deploy
from pyinfra.api.operations import run_ops
from pyinfra.connectors.fake import FakeConnector

from stackctl.capabilities import load_fleet
from stackctl.core.job import Job, Part
from stackctl.project import Project, find
from stackctl.render import jobs
from tests.expected import expect_files

BARE = {
    "/etc/os-release": "debian-13",
    "uname -n": ["localhost", "localhost"],
    "/srv/weights/tiny-llama/.": "is\td\t755\t1700000000.0\troot/root\t/srv/weights/tiny-llama/.",
}
"""What a fresh host with its weights answers; whatever is not here it answers with nothing."""


def commands_on_a_bare_host(project: Project, job: Job) -> str:
    """Every command of every capability of the job, as `@fake` was given them."""
    name = f"@fake/{job.host}"
    data = {"fake_responses": BARE, "fake_delay": 0, "fake_delay_jitter": 0}
    state = State(Inventory(([(name, data)], {})), Config(), check_for_changes=False)
    connect_all(state)
    for part in job.parts:
        add_deploy(state, _deploy(project, part), part.spec, part.files)
    run_ops(state)
    host = state.inventory.get_host(name)
    assert not state.failed_hosts
    assert isinstance(host.connector, FakeConnector)
    facts_and_commands = host.connector.executed_commands
    return "".join(f"{_readable(command)}\n" for command in facts_and_commands if _changes(command))


def _deploy(project: Project, part: Part) -> Any:
    spec = importlib.util.spec_from_file_location(part.capability, project.deploy(part.capability))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, part.capability)


_FACTS = (
    "find ",
    "dpkg=$(dpkg-query",
    "systemctl show",
    ". /etc/os-release",
    "uname -n",
    "for k in",
    "command -v docker",
)


def _changes(command: str) -> bool:
    return not command.startswith(_FACTS) and "&& echo yes || echo no" not in command


def _readable(command: str) -> str:
    """Files by their paths, a long script by what it is about or by its last line."""
    written = re.findall(r"^mv -fT -- \S+ (\S+)$", command, re.MULTILINE)
    if written:
        judged = re.findall(r"^(.*) >&2 \|\| exit 66$", command, re.MULTILINE)
        return f"write {' '.join(written)}{''.join(f' once judged by {check}' for check in judged)}"
    lines = command.strip().splitlines()
    about = [line for line in lines if re.match(r"systemctl (re|start)|flock .* docker compose", line)]
    if about:
        return f"{about[0]} …"
    return lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1].strip()}"


@pytest.mark.parametrize("host", ["edge", "gpu1"])
def test_a_bare_host_of_the_lab_gets_these_commands_in_this_order(host: str) -> None:
    project = find(Path(__file__).resolve())
    (job,) = jobs(load_fleet(project.root, "lab"), project, [host])

    expect_files(f"deploys/{host}", {"commands.txt": commands_on_a_bare_host(project, job)})
