from pathlib import Path

import pytest

from stackctl.core.secret import SecretRef
from tests.inventory import CATALOGUE, HOSTS, complaints, fleet

CLEAR = "hunter2"
HINT = "replace a secret that was ever saved here in clear"


def test_a_reference_is_read(tmp_path: Path) -> None:
    read = fleet(
        tmp_path, HOSTS + "secrets: {a: env:TOKEN, b: file:~/b, c: 'command:pass show c', d: age:d-1}"
    )

    assert read.secrets["a"] == SecretRef("env", "TOKEN")
    assert read.secrets["c"] == SecretRef("command", "pass show c")
    assert read.secrets["d"] == SecretRef("age", "d-1", f"{tmp_path}/inventory/secrets.age")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("secrets: {a: hunter2}", "secrets.a"),
        ("secrets: {a: 'env:hunter2 too'}", "secrets.a"),
        ("secrets: {a: 'env:'}", "secrets.a"),
        ("secrets: {a: 'age:'}", "secrets.a"),
        ("secrets: {a: 'age:hunter2!'}", "secrets.a"),
        ("secrets: {a: 'age:Hunter2'}", "secrets.a"),
        ("secrets: {a: 'hunter2:a'}", "secrets.a"),
        ("secrets: {a: [hunter2]}", "secrets.a"),
        ("secrets: {a: {b: hunter2}}", "secrets.a"),
        ("profiles: {p: {ssh: {sudo_password: hunter2}}}", "profiles.p.ssh.sudo_password"),
        (
            "profiles: {p: {docker: {registries: {r: {user: u, password: hunter2}}}}}",
            "profiles.p.docker.registries.r.password",
        ),
    ],
)
def test_a_secret_in_clear_is_refused_and_never_repeated(tmp_path: Path, text: str, name: str) -> None:
    [found] = [line for line in complaints(tmp_path, HOSTS + text) if "not used" not in line]

    assert found == (
        f"test.yaml:6 `{name}` takes a reference to a secret, not the secret"
        f" | write `env:NAME`, `file:PATH`, `age:NAME` or `command:PROGRAM ARG...`; {HINT}"
    )


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("env: {HF_TOKEN: hunter2}", "env.HF_TOKEN"),
        ("env: {DB_PASSWORD: hunter2}", "env.DB_PASSWORD"),
        ("env: {OPENAI_API_KEY: hunter2}", "env.OPENAI_API_KEY"),
        ("env: {PROXY: 'http://me:hunter2@proxy:3128'}", "env.PROXY"),
        ("env: {LOGIN: sk-proj-hunter2hunter2hunter2}", "env.LOGIN"),
        ("args: [--proxy, 'http://me:hunter2@proxy:3128']", "args.1"),
        ("args: [serve, hf_hunter2hunter2hunter2]", "args.1"),
        ("args: [--api-key, hunter2]", "args.1"),
        ("args: [--auth-token=hunter2]", "args.0"),
    ],
)
def test_a_secret_in_the_catalogue_is_refused_and_never_repeated(
    tmp_path: Path, setting: str, name: str
) -> None:
    [found] = complaints(tmp_path, HOSTS, CATALOGUE.replace("api: [speech]", f"api: [speech], {setting}"))

    assert found.startswith(
        f"models.yaml:4 `models.speak.{name}` takes a reference to a secret, not the secret | "
    )
    assert CLEAR not in found


def test_a_password_where_none_can_stand_is_not_repeated(tmp_path: Path) -> None:
    [found] = complaints(
        tmp_path, "hosts: {a: {address: 10.0.0.1, ssh: {jump: ['ops:hunter2@bastion.example.com']}}}"
    )

    assert found == (
        "test.yaml:2 `hosts.a.ssh.jump.0` cannot be the value it has"
        " | write `host`, `user@host` or `user@host:port`"
    )


def test_what_only_sounds_like_a_secret_is_allowed(tmp_path: Path) -> None:
    env = (
        "env: {MAX_TOKENS: 5, TOKENIZERS_PARALLELISM: 'false', KEYBOARD: de,"
        " MIRROR: 'http://me@mirror:8080/a:b', TASK: risk-averse-and-rather-long}"
    )

    assert complaints(tmp_path, HOSTS, CATALOGUE.replace("api: [speech]", f"api: [speech], {env}")) == []
