from pathlib import Path

from stackctl.capabilities import load_fleet_with_warnings
from stackctl.schema.references import references
from tests.inventory import HOSTS, fleet, project

SHARED = """\
profiles: {p: {ssh: {user: ops, sudo: true, sudo_password: age:shared}}}
hosts:
  a: {address: 10.0.0.11, profile: p}
  b: {address: 10.0.0.12, profile: p, ssh: {sudo_password: age:own}}
  c: {address: 10.0.0.13, docker: {registries: {r.lan: {user: u, password: env:R}}}}
secrets: {hf: age:hf}
"""


def test_references_are_found_wherever_they_were_written(tmp_path: Path) -> None:
    found = {".".join(map(str, key)): ref.written for key, ref in references(fleet(tmp_path, SHARED))}

    assert found == {
        "hosts.b.ssh.sudo_password": "age:own",
        "hosts.c.docker.registries.r.lan.password": "env:R",
        "profiles.p.ssh.sudo_password": "age:shared",
        "secrets.hf": "age:hf",
    }


def test_a_reference_into_a_file_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS + "secrets: {hf: age:hf}").root

    _, [warning] = load_fleet_with_warnings(root, "test")

    assert (warning.where, warning.severity) == ("inventory/test.yaml:6", "warning")
    assert warning.what == "`secrets.hf` is `age:hf`, but there is no inventory/secrets.age"
    assert warning.hint == "run `stackctl secrets set hf`"


def test_the_encrypted_file_itself_is_not_opened(tmp_path: Path) -> None:
    root = project(tmp_path, HOSTS + "secrets: {hf: age:hf}").root
    (root / "inventory/secrets.age").mkdir()

    assert load_fleet_with_warnings(root, "test")[1] == ()
