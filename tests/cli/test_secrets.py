import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
from pyrage.x25519 import Identity

from stackctl.capabilities import load_fleet
from stackctl.ops import age, secret
from stackctl.project import Project
from stackctl.render import jobs
from tests.cli.program import Ended, stackctl
from tests.inventory import CATALOGUE, HOSTS, project

Capsys = pytest.CaptureFixture[str]
VALUE = "hunter2-hunter2"
USING = f"""{HOSTS}placements: {{speak: [{{host: gpu1, devices: [cpu]}}]}}
secrets: {{hf: age:hf-token}}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose one model needs a secret, and a home without a key."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STACKCTL_AGE_IDENTITY", raising=False)
    (tmp_path / "project").mkdir()
    catalogue = CATALOGUE.replace("api: [speech]", "api: [speech], env: {HF_TOKEN: {secret: hf}}")
    return project(tmp_path / "project", USING, catalogue).root


def given(
    monkeypatch: pytest.MonkeyPatch, capsys: Capsys, root: Path, text: str | bytes, *words: str
) -> Ended:
    """Run `stackctl secrets WORDS` with a text on standard input."""
    content = text.encode() if isinstance(text, str) else text
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    return stackctl(capsys, "secrets", *words, cwd=root)


def test_a_secret_that_was_set_stands_in_the_file_that_a_host_gets(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    given(monkeypatch, capsys, root, f"{VALUE}\n", "set", "hf-token")
    made = jobs(load_fleet(root, "test"), Project(root), ["gpu1"])
    [file] = [file for part in made[0].parts for file in part.files if file.path.endswith("speak.env")]

    assert "HF_TOKEN='<<secret age:hf-token>>'" in file.content
    assert f"HF_TOKEN='{VALUE}'\n" in secret.reveal(file).decode()


def test_the_backup_is_called_for_behind_a_link_as_well(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")

    assert "back up this key" in given(monkeypatch, capsys, root, VALUE, "set", "hf-token").err


def test_the_first_one_says_what_it_made_and_that_the_key_needs_a_backup(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path
) -> None:
    first = given(monkeypatch, capsys, root, VALUE, "set", "hf-token")
    second = given(monkeypatch, capsys, root, VALUE, "set", "hf-token")

    assert first == (
        0,
        f"hf-token is set in {root}/inventory/secrets.age\n",
        (
            f"made {tmp_path}/home/.config/stackctl/age.key\n"
            "back up this key where only you can read it: without it the secrets cannot be read again\n"
            f"made {root}/inventory/secrets.recipients\n"
        ),
    )
    assert second == (0, first.out, "")


@pytest.mark.parametrize(
    ("text", "value"), [("a b\n", "a b"), ("a b\r\n", "a b"), (" a ", " a "), ("ü", "ü")]
)
def test_a_line_end_is_dropped_and_nothing_else(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, root: Path, text: str, value: str
) -> None:
    given(monkeypatch, capsys, root, text, "set", "hf-token")

    assert age.read(root / "inventory/secrets.age").values == {"hf-token": value}


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        ("", ("set", "x", VALUE), "secrets set  more than a name is given; values are not arguments\n"),
        (
            "",
            ("set", "x", "--", "-hunter2"),
            "secrets set  more than a name is given; values are not arguments\n",
        ),
        ("", ("set", "Hunter2"), "secrets set  the name does not fit\n"),
        ("", ("set", "x"), "age:x  cannot be set: it is empty\n"),
        (f"'{VALUE}", ("set", "x"), "age:x  cannot be set: it holds a quote, a backslash or a line break\n"),
        (
            f"a\n{VALUE}",
            ("set", "x"),
            "age:x  cannot be set: it holds a quote, a backslash or a line break\n",
        ),
        (b"hunter2\xff", ("set", "x"), "standard input  is not UTF-8 text\n"),
        (VALUE * 5000, ("set", "x"), "standard input  is longer than 64 KiB\n"),
    ],
)
def test_a_value_that_cannot_be_is_refused_and_never_repeated(
    capsys: Capsys,
    monkeypatch: pytest.MonkeyPatch,
    root: Path,
    text: str | bytes,
    words: tuple[str, ...],
    told: str,
) -> None:
    ended = given(monkeypatch, capsys, root, text, *words)
    debugged = given(monkeypatch, capsys, root, text, *words[:2], "--debug", *words[2:])

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(told)
    assert "hunter2" not in (ended.err + debugged.err).lower()
    assert "Traceback" in debugged.err
    assert not (root / "inventory/secrets.age").exists()


def test_a_value_is_asked_for_twice_and_not_shown(root: Path) -> None:
    terminal, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "stackctl", "secrets", "set", "hf-token", "--project", str(root)],
        cwd=Path(__file__).parents[2],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = answered(terminal, f"{VALUE}\n")
    os.close(terminal)

    assert program.wait() == 0
    assert seen.splitlines()[:2] == ["Value: ", "Repeat for confirmation: "]
    assert VALUE not in seen
    assert age.read(root / "inventory/secrets.age").values == {"hf-token": VALUE}


def answered(terminal: int, answer: str) -> str:
    """All that is shown on a terminal where every prompt gets the same answer."""
    seen = ""
    prompts = 0
    while True:
        try:
            seen += os.read(terminal, 1024).decode()
        except OSError:  # the other side has ended
            return seen
        if seen.endswith(": ") and seen.count(": ") > prompts:
            prompts = seen.count(": ")
            os.write(terminal, answer.encode())


def test_the_list_has_names_and_where_they_are_used(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    (root / "inventory/dev.yaml").write_text(f"environment: dev\n{USING}")
    for name in ("hf-token", "old"):
        given(monkeypatch, capsys, root, VALUE, "set", name)

    ended = stackctl(capsys, "secrets", "list", cwd=root)
    machine = stackctl(capsys, "secrets", "list", "--json", cwd=root)

    places = ["inventory/dev.yaml secrets.hf", "inventory/test.yaml secrets.hf"]
    assert ended == (0, f"hf-token  {places[0]}\n          {places[1]}\nold       not used\n", "")
    assert json.loads(machine.out) == {
        "format": 1,
        "secrets": [{"name": "hf-token", "used": places}, {"name": "old", "used": []}],
        "findings": [],
    }


def test_a_reference_to_a_secret_that_is_not_there_is_an_error_of_the_list(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    none = stackctl(capsys, "secrets", "list", cwd=root)
    given(monkeypatch, capsys, root, VALUE, "set", "hf-tokn")
    other = stackctl(capsys, "secrets", "list", cwd=root)
    machine = stackctl(capsys, "secrets", "list", "--json", cwd=root)

    what = "refers to `age:hf-token`, which is not a secret of this project"
    hint = "run `stackctl secrets set hf-token`"
    assert none == (2, "", f"inventory/test.yaml secrets.hf  {what}\n  hint: {hint}\n")
    assert (other.code, other.out) == (2, "hf-tokn  not used\n")
    assert other.err.endswith(f"  hint: did you mean `hf-tokn`?; or {hint}\n")
    assert (machine.code, [item["what"] for item in json.loads(machine.out)["findings"]]) == (2, [what])


def test_an_environment_that_cannot_be_read_does_not_hide_the_others(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    given(monkeypatch, capsys, root, VALUE, "set", "hf-token")
    (root / "inventory/dev.yaml").write_text("environment: prod\n")

    ended = stackctl(capsys, "secrets", "list", cwd=root)

    assert (ended.code, ended.out) == (2, "hf-token  inventory/test.yaml secrets.hf\n")
    assert ended.err.startswith("inventory/dev.yaml:1  ")


def test_a_rotation_says_where_the_keys_are_and_what_stays_readable(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path
) -> None:
    given(monkeypatch, capsys, root, VALUE, "set", "hf-token")
    colleague = Identity.generate()
    with (root / "inventory/secrets.recipients").open("a") as listed:
        listed.write(f"{colleague.to_public()}\n")

    ended = stackctl(capsys, "secrets", "rotate-key", cwd=root)

    key = tmp_path / "home/.config/stackctl/age.key"
    own = Identity.from_str(key.read_text().splitlines()[-1]).to_public()
    assert ended.code == 0
    assert ended.out == (
        f"{root}/inventory/secrets.age is encrypted to a new key of yours, {own}, and to 1 other\n"
    )
    assert (
        f"your identity is {key}: back it up; as it was before, it is kept in {key}.1\nuntil you delete it\n"
        in ended.err
    )
    assert "stays readable with the key before" in ended.err
    assert VALUE in pyrage.decrypt((root / "inventory/secrets.age").read_bytes(), [colleague]).decode()


def test_validate_needs_no_key(capsys: Capsys, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    given(monkeypatch, capsys, root, VALUE, "set", "hf-token")
    monkeypatch.setenv("HOME", "/nonexistent")

    assert stackctl(capsys, "validate", "test", cwd=root) == (
        0,
        "test is valid: 3 hosts, 1 model, 1 replica\n",
        "",
    )


def test_rendered_json_names_a_secret_and_no_folder_of_this_machine(capsys: Capsys, root: Path) -> None:
    ended = stackctl(capsys, "render", "test", "--host", "gpu1", "--json", cwd=root)

    assert '{"scheme": "age", "target": "hf-token"}' in json.dumps(json.loads(ended.out))
    assert str(root) not in ended.out
