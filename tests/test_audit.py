"""What has to hold for every capability, kind of server and setting, those to come included."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from stackctl import servers
from stackctl.capabilities import ORDER, name_of
from stackctl.capabilities.firewall import OPENS
from stackctl.core.model import manuals
from stackctl.core.secret import SecretRef
from stackctl.schema.catalogue import Catalogue
from stackctl.schema.fleet import Environment
from stackctl.servers.in_clear import smells_of_secret

ROOT = Path(__file__).parents[1]
CAPABILITIES = [name_of(capability) for capability in ORDER]
MIRRORS = (
    "stackctl/schema/{0}.py",
    "stackctl/capabilities/{0}.py",
    "deploys/{0}.py",
    "templates/{0}",
    "tests/capabilities/test_{0}.py",
    "tests/golden/{0}",
)


def test_the_firewall_asks_every_other_capability_what_it_listens_on() -> None:
    assert [each.__name__.rpartition(".")[2] for each in OPENS] == [
        name for name in CAPABILITIES if name != "firewall"
    ]


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("mirror", MIRRORS)
def test_a_capability_has_its_files_under_its_name(capability: str, mirror: str) -> None:
    assert (ROOT / mirror.format(capability)).exists()


def test_no_capability_is_left_out_of_the_order() -> None:
    modules = {path.stem for path in (ROOT / "stackctl/capabilities").glob("*.py")} - {"__init__"}

    assert modules == set(CAPABILITIES)


def test_a_kind_of_server_is_a_module_of_its_name_with_tests() -> None:
    kinds = get_args(get_args(servers.ModelServer)[0])
    names = [get_args(kind.model_fields["server"].annotation)[0] for kind in kinds]

    assert [kind.__module__ for kind in kinds] == [f"stackctl.servers.{name}" for name in names]
    assert [name for name in names if not (ROOT / f"tests/servers/test_{name}.py").exists()] == []


def models() -> Iterator[type[BaseModel]]:
    """Every model that a person's YAML can reach."""
    todo: list[Any] = [Environment, Catalogue]
    seen: set[Any] = set()
    while todo:
        found = todo.pop()
        if found in seen:
            continue
        seen.add(found)
        if inspect.isclass(found) and issubclass(found, BaseModel):
            yield found
            for field in found.model_fields.values():
                todo += _types(field.annotation)
                todo += [part for item in field.metadata for part in _types(item)]


def _types(annotation: Any) -> list[Any]:
    parts = [annotation]
    for part in parts:
        parts += get_args(part) or get_args(getattr(part, "__value__", None))
    return [part for part in parts if isinstance(part, type)]


FIELDS = [
    (f"{model.__name__}.{name}", field, manuals(model).get(name, ""))
    for model in sorted(models(), key=lambda model: model.__name__)
    for name, field in model.model_fields.items()
]


@pytest.mark.parametrize(("name", "manual"), [(name, manual) for name, _, manual in FIELDS])
def test_a_setting_has_a_manual(name: str, manual: str) -> None:
    assert manual.endswith(".") and (manual[0].isupper() or manual[0] == "`"), name  # noqa: PT018 - one fact


def test_a_setting_that_holds_a_secret_takes_a_reference() -> None:
    smelling = [(name, field) for name, field, _ in FIELDS if smells_of_secret(name.rpartition(".")[2])]

    assert [name for name, field in smelling if SecretRef not in _types(field.annotation)] == [
        "NamedSecret.secret"
    ]
    assert {"Ssh.sudo_password", "RegistryLogin.password"} <= {name for name, _ in smelling}


def test_both_schemas_describe_every_setting_in_the_manuals_words() -> None:
    for model in (Environment, Catalogue):
        schema = model.model_json_schema()
        definitions = (schema, *schema["$defs"].values())
        bare = [
            key
            for node in definitions
            for key, value in node.get("properties", {}).items()
            if not value.get("description")
        ]

        assert bare == []
