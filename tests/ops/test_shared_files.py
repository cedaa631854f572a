"""In files that others write to as well, what is not ours stays as it is."""

import hashlib
import json
from pathlib import Path

import pytest

from stackctl.ops.files import with_block, with_key
from tests.engine.fleet import one_host
from tests.ops.seen import seen


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "# stackctl fleet: begin\n10.0.0.1 a\n# stackctl fleet: end\n"),
        (
            "127.0.0.1 localhost\n",
            "127.0.0.1 localhost\n# stackctl fleet: begin\n10.0.0.1 a\n# stackctl fleet: end\n",
        ),
        (
            "x\n# stackctl fleet: begin\nold\n# stackctl fleet: end\ny\n",
            "x\n# stackctl fleet: begin\n10.0.0.1 a\n# stackctl fleet: end\ny\n",
        ),
        ("x", "x\n# stackctl fleet: begin\n10.0.0.1 a\n# stackctl fleet: end\n"),
        (
            "x\r\n# stackctl fleet: begin\r\nold\r\n# stackctl fleet: end\r\ny\u2028\x0cz\r\n",
            "x\r\n# stackctl fleet: begin\n10.0.0.1 a\n# stackctl fleet: end\ny\u2028\x0cz\r\n",
        ),
        (
            "# stackctl fleet: begin\nkept\n# stackctl fleet: begin\nold\n# stackctl fleet: end\n",
            "# stackctl fleet: begin\nkept\n# stackctl fleet: begin\n10.0.0.1 a\n# stackctl fleet: end\n",
        ),
        (
            "# stackctl fleet: end\nx\n",
            "# stackctl fleet: end\nx\n# stackctl fleet: begin\n10.0.0.1 a\n# stackctl fleet: end\n",
        ),
    ],
)
def test_a_block_leaves_what_is_around_it(before: str, after: str) -> None:
    assert with_block(before, "fleet", ["10.0.0.1 a"]) == after
    assert with_block(after, "fleet", ["10.0.0.1 a"]) == after


MERGE = (
    "files.merge_json(name='configure', path=spec, values={'live-restore': True, 'features': {'cdi': True}})"
)


def test_keys_that_are_not_ours_stay_in_a_merged_file(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text('{"dns": ["10.0.0.1"], "live-restore": false, "features": {"buildkit": true}}')
    path.chmod(0o600)
    run = one_host(tmp_path / "d", MERGE, spec=str(path))

    assert not run.apply(run.plan()).failed

    assert json.loads(path.read_text()) == {
        "dns": ["10.0.0.1"],
        "live-restore": True,
        "features": {"buildkit": True, "cdi": True},
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_merged_file_in_another_layout_with_the_same_values_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text('{"features":{"cdi":true},"live-restore":true,"x":1}')

    assert one_host(tmp_path / "d", MERGE, spec=str(path)).plan().changes == 0


@pytest.mark.parametrize("other", ["1", "1.0"])
def test_a_number_in_the_place_of_true_is_not_what_is_wanted(tmp_path: Path, other: str) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(f'{{"features": {{"cdi": true}}, "live-restore": {other}}}')
    run = one_host(tmp_path / "d", MERGE, spec=str(path))

    assert not run.apply(run.plan()).failed

    assert json.loads(path.read_text())["live-restore"] is True


def test_a_merged_file_that_is_not_json_is_a_finding_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text("{not json")
    run = one_host(tmp_path / "d", MERGE, spec=str(path))

    finding = run.apply(run.plan()).hosts[0].findings[0]

    assert finding.where == "gpu1 · demo · configure"
    assert "is not JSON" in finding.what
    assert path.read_text() == "{not json"


def test_of_a_merged_file_only_our_keys_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text('{"dns": ["10.0.0.1"], "live-restore": false, "features": {"buildkit": true}}')

    assert seen(one_host(tmp_path / "d", MERGE, spec=str(path))) == {
        f"key live-restore in {path}": {"value": "false"},
        f"key features.cdi in {path}": {},
    }


def test_of_a_file_that_others_write_to_only_our_block_is_seen(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    body = "files.block(name='list hosts', path=spec, marker='fleet', lines=['a'])"
    block = "# stackctl fleet: begin\na\n# stackctl fleet: end\n"
    found = []
    for text in ("127.0.0.1 localhost\n", f"x\n{block}", f"{block}theirs\n", block.replace("a\n", "b\n")):
        hosts.write_text(text)
        found.append(seen(one_host(tmp_path / "d", body, spec=str(hosts)))[f"block fleet in {hosts}"])

    assert found[0] == {}
    assert found[1] == found[2] != found[3]
    assert found[1] == {"sha256": hashlib.sha256(block.removesuffix("\n").encode()).hexdigest()}


@pytest.mark.parametrize("empty", ["", "\n"])
def test_an_empty_file_counts_as_an_empty_object(tmp_path: Path, empty: str) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(empty)
    run = one_host(tmp_path / "d", MERGE, spec=str(path))

    assert not run.apply(run.plan()).failed
    assert json.loads(path.read_text()) == {"live-restore": True, "features": {"cdi": True}}


def test_a_merged_file_with_comments_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text('{"dns": [] // ours\n}')

    [finding] = one_host(tmp_path / "d", MERGE, spec=str(path)).plan().findings

    assert "is not JSON" in finding.what
    assert path.read_text() == '{"dns": [] // ours\n}'


TOML = """#accept-envvar = true
disable-require = false

[nvidia-container-cli]
accept-envvar = true
#debug = "/var/log/x.log"
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "accept-envvar = false\n"),
        (TOML, TOML.replace("#accept-envvar = true", "accept-envvar = false")),
        (
            TOML.replace("#accept-envvar", "accept-envvar"),
            TOML.replace("#accept-envvar = true", "accept-envvar = false"),
        ),
        (
            "a = 1 # theirs\n\n[table]\naccept-envvar = true\n",
            "a = 1 # theirs\naccept-envvar = false\n\n[table]\naccept-envvar = true\n",
        ),
    ],
)
def test_a_key_of_a_toml_file_is_set_before_its_tables_and_all_else_stays(before: str, after: str) -> None:
    assert with_key(before, "accept-envvar", value=False) == after
    assert with_key(after, "accept-envvar", value=False) == after


KEY = "files.toml_key(name='isolate', path=spec, key='accept-envvar', value=False)"


def test_a_key_of_a_toml_file_is_written_once_and_seen(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TOML)
    run = one_host(tmp_path / "d", KEY, spec=str(path))

    assert not run.apply(run.plan()).failed

    assert path.read_text() == TOML.replace("#accept-envvar = true", "accept-envvar = false")
    again = one_host(tmp_path / "d", KEY, spec=str(path))
    assert again.plan().changes == 0
    assert seen(again) == {f"key accept-envvar in {path}": {"value": "false"}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not toml\n", "is not TOML"),
        ('"accept-envvar" = true\n', "spells `accept-envvar` in a way that only a person can change"),
        ('text = """\naccept-envvar = true\n"""\n', "spells `accept-envvar` in a way"),
    ],
)
def test_a_toml_file_that_cannot_be_edited_safely_is_a_finding_and_stays(
    tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)

    [finding] = one_host(tmp_path / "d", KEY, spec=str(path)).plan().findings

    assert told in finding.what
    assert path.read_text() == text
