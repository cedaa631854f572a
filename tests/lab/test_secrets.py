"""Secrets on their whole way to a host: each is found in the file it was asked for, and nowhere else.

The tests of this module share one lab and build on each other, in order.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.lab import lifecycle
from tests.lab.canary import Canary, forms, hashes
from tests.lab.node import Node
from tests.repository import committed

pytestmark = pytest.mark.lab

LAB = "t-secret"
TARGET = "/root/.docker/config.json"
VARIABLE = "CANARY_PASSWORD"
EARLIER = f"""\
environment: {LAB}
lab: {{}}
hosts:
  node:
    address: 10.89.0.11
    roles: [models]
    system: {{time: external}}
"""
REGISTRIES = """\
    docker:
      registries:
        env.example.com: {{user: someone, password: "env:{variable}"}}
        file.example.com: {{user: someone, password: "file:{sources}/password"}}
        command.example.com: {{user: someone, password: "command:cat {sources}/printed"}}
        age.example.com: {{user: someone, password: "age:canary"}}
"""
IMPORTS = """
from pyinfra.api.deploy import deploy
from pyinfra.operations import server
from stackctl.ops import files

"""

PLAIN_AND_DEBUG = pytest.mark.parametrize("debug", [(), ("--debug",)], ids=["plain", "debug"])


def deploys(folder: Path, **bodies: str) -> None:
    """The project's own deploys, which need no Docker on the host."""
    for capability, body in bodies.items():
        text = f'{IMPORTS}@deploy("{capability}")\ndef {capability}(spec, artifacts):\n    {body}\n'
        (folder / f"deploys/{capability}.py").write_text(text)


WRITE = 'files.write(name="write the logins", artifacts=artifacts)'


def runs(command: str) -> str:
    """A deploy of one step, which is run by every apply."""
    return f"server.shell(name='go on', commands=[{command!r}])"


def set_age_secret(canary: Canary) -> None:
    """Its value goes in as an operator's would."""
    words = ("secrets", "set", "canary", "--debug")
    command = [sys.executable, "-m", "stackctl", *words, "--project", str(canary.node.site.folder)]
    with canary.watched():
        done = subprocess.run(
            command,
            input=canary.values["age"],
            text=True,
            env=canary.environment,
            check=True,
            capture_output=True,
        )
    canary.said.append((" ".join(words), done.stdout + done.stderr))


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    node = Node.of(tmp_path_factory.mktemp("project"), LAB)
    folder, sources, home = (
        node.site.folder,
        tmp_path_factory.mktemp("sources"),
        tmp_path_factory.mktemp("home"),
    )
    inventory = folder / f"inventory/{LAB}.yaml"
    inventory.write_text(EARLIER)
    deploys(folder, system="pass", docker=WRITE, serving="pass")
    committed(folder)
    inventory.write_text(EARLIER + REGISTRIES.format(variable=VARIABLE, sources=sources))

    values = {way: f"{way}-{secrets.token_hex(12)}" for way in ("env", "file", "command", "age")}
    (sources / "password").write_text(values["file"])
    (sources / "printed").write_text(values["command"])
    environment = {
        **os.environ,
        VARIABLE: values["env"],
        "STACKCTL_AGE_IDENTITY": str(sources / "age.key"),
        "HOME": str(home),
        "TMPDIR": str(home),
    }
    patterns = [form for value in values.values() for form in forms(value)]
    canary = Canary(node, values, VARIABLE, environment, home, patterns)
    lifecycle.up(node.site.spec, lambda _: None)
    (home / "kept").touch()
    set_age_secret(canary)
    yield canary
    lifecycle.down(LAB)


def wanted(canary: Canary) -> str:
    """The one file that holds all the secrets, as it is to be on the host."""
    rendered = json.loads(canary.stackctl("render", LAB, "--json").stdout)
    (file,) = (each for each in rendered["hosts"]["node"] if each["path"] == TARGET)
    text: str = file["content"]
    for ref in file["secrets"]:
        text = text.replace(f"<<secret {ref['scheme']}:{ref['target']}>>", canary.values[ref["scheme"]])
    return text


def nowhere_else(canary: Canary) -> bool:
    """Whether the secrets are in the file they were asked for, and no trace of them is in any other place."""
    assert canary.leaks() == []
    assert canary.files() == [TARGET]
    return True


def test_the_search_finds_what_is_there(canary: Canary) -> None:
    decoy = secrets.token_hex(12)
    left = forms(decoy)[2]
    other = replace(
        canary, patterns=forms(decoy), said=[("a command", f"it is {decoy}")], seen=set(), looks=[]
    )
    with other.watched():
        canary.node.on(f"echo {left} >/run/left; logger {decoy}; journalctl --sync; sleep 0.5")

    leaks, files = other.leaks(), other.files()
    canary.node.on("rm /run/left")

    assert leaks[:2] == ["printed by a command", "the host's journal"]
    assert any(leak.startswith("here ") for leak in leaks)
    assert any(leak.startswith("on the host /proc/") for leak in leaks)
    assert "/run/left" in files


@PLAIN_AND_DEBUG
@pytest.mark.parametrize(
    "words",
    [
        ["validate", LAB],
        ["validate", LAB, "--json"],
        ["render", LAB],
        ["render", LAB, "--json"],
        ["render", LAB, "--out", "{home}/rendered"],
        ["diff", LAB, "--against", "HEAD"],
        ["diff", LAB, "--against", "HEAD", "--json"],
        ["diff", LAB, "--against", "HEAD", "--markdown"],
        ["secrets", "list"],
        ["plan", LAB],
        ["plan", LAB, "--json"],
        ["plan", LAB, "--out", "{home}/kept.plan"],
    ],
    ids=" ".join,
)
def test_what_is_known_before_an_apply_tells_no_secret(
    canary: Canary, words: list[str], debug: tuple[str, ...]
) -> None:
    done = canary.stackctl(*(word.format(home=canary.home) for word in words), *debug)

    assert done.returncode == 0, done.stderr
    assert canary.leaks() == []
    assert canary.files() == []


@PLAIN_AND_DEBUG
def test_an_apply_leaves_all_secrets_in_the_file_alone_which_root_alone_reads(
    canary: Canary, debug: tuple[str, ...]
) -> None:
    canary.node.on(f"rm -f {TARGET}")
    text = wanted(canary)
    canary.patterns += hashes(text.encode())

    done = canary.stackctl("apply", LAB, "--yes", *debug)

    assert done.returncode == 0, done.stderr
    assert canary.node.on(f"cat {TARGET}") == text
    assert canary.node.on(f"stat -c '%a %U:%G' {TARGET}") == "600 root:root\n"
    assert nowhere_else(canary)


def test_a_saved_plan_brings_the_secrets_without_holding_them(canary: Canary) -> None:
    canary.node.on(f"rm -f {TARGET}")
    file = str(canary.node.site.folder / "kept.plan")
    canary.stackctl("plan", LAB, "--out", file)

    done = canary.stackctl("apply", file)

    assert done.returncode == 0, done.stderr
    assert nowhere_else(canary)


@PLAIN_AND_DEBUG
def test_a_step_that_prints_the_file_and_fails_is_shown_with_the_secrets_blanked_out(
    canary: Canary, debug: tuple[str, ...]
) -> None:
    canary.node.on(f"rm -f {TARGET}")
    deploys(canary.node.site.folder, serving=runs(f"cat {TARGET} >&2; exit 1"))

    done = canary.stackctl("apply", LAB, "--yes", *debug)
    as_json = canary.stackctl("apply", LAB, "--yes", "--json", *debug)
    deploys(canary.node.site.folder, serving="pass")

    for failed in (done, as_json):
        assert failed.returncode == 1
        assert (failed.stdout + failed.stderr).replace("\\", "").count('"password": "***"') == 4
    assert nowhere_else(canary)


@PLAIN_AND_DEBUG
@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_a_secret_file_changed_by_hand_is_drift_that_tells_no_content(
    canary: Canary, as_json: tuple[str, ...], debug: tuple[str, ...]
) -> None:
    assert canary.stackctl("apply", LAB, "--yes").returncode == 0
    unchanged = canary.stackctl("drift", LAB, *as_json, *debug)
    canary.node.on(f"sleep 1; echo >>{TARGET}; chmod 640 {TARGET}")

    drifted = canary.stackctl("drift", LAB, *as_json, *debug)
    planned = canary.stackctl("plan", LAB, *as_json, *debug)

    assert (unchanged.returncode, drifted.returncode, planned.returncode) == (0, 3, 0)
    assert f"file {TARGET}" in drifted.stdout
    assert TARGET in planned.stdout
    assert nowhere_else(canary)
    assert canary.stackctl("apply", LAB, "--yes", *as_json, *debug).returncode == 0
    assert nowhere_else(canary)


@PLAIN_AND_DEBUG
@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_the_history_of_all_that_tells_no_secret(
    canary: Canary, as_json: tuple[str, ...], debug: tuple[str, ...]
) -> None:
    told = canary.stackctl("history", LAB, *as_json, *debug)

    assert told.returncode == 0
    assert "write the logins" in told.stdout
    assert nowhere_else(canary)


@PLAIN_AND_DEBUG
def test_ctrl_c_in_the_middle_of_an_apply_tells_no_secret(canary: Canary, debug: tuple[str, ...]) -> None:
    canary.node.on(f"rm -f {TARGET}")
    deploys(canary.node.site.folder, serving=runs(f"cat {TARGET} >&2; touch /run/begun; sleep 5"))
    with canary.watched():
        process = canary.start("apply", LAB, "--yes", *debug)
        canary.node.on("for n in $(seq 200); do [ -e /run/begun ] && break; sleep 0.1; done; rm /run/begun")
        process.send_signal(signal.SIGINT)
        done = canary.ended(process, ("apply", "and Ctrl-C", *debug))
    deploys(canary.node.site.folder, serving="pass")

    assert done.returncode == 130
    assert "interrupted" in done.stderr
    assert nowhere_else(canary)


@PLAIN_AND_DEBUG
def test_the_password_for_sudo_goes_to_sudo_alone(canary: Canary, debug: tuple[str, ...]) -> None:
    password = canary.node.site.spec.sudo_password
    canary.patterns += forms(password.read_text().strip())
    login = f'    ssh: {{user: opspw, sudo: true, sudo_password: "file:{password}"}}\n'
    inventory = canary.node.site.folder / f"inventory/{LAB}.yaml"
    before = inventory.read_text()
    inventory.write_text(before + login)
    canary.node.on(f"rm -f {TARGET}")

    done = canary.stackctl("apply", LAB, "--yes", *debug)
    inventory.write_text(before)

    assert done.returncode == 0, done.stderr
    assert "COMMAND=" in canary.node.on("journalctl --quiet --no-pager _COMM=sudo")
    assert nowhere_else(canary)
