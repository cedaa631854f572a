"""The tables beside this module, as they were written."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def table(name: str) -> Mapping[str, Any]:
    """The table of a name, `families`; nothing in it is typed yet, and numbers are text but for whole ones."""
    text = (files("stackctl.nvidia") / f"{name}.yaml").read_text("utf-8")
    return dict(yaml.load(text, Loader=_Loader))  # noqa: S506 - a SafeLoader, less than safe_load's rules


class _Loader(yaml.SafeLoader):
    """Leaves versions, months and hexadecimal ids alone, which YAML takes for numbers: 570.10 is not 570.1."""


_TAKEN = ("tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag not in _TAKEN]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
