"""The references to secrets of a fleet, and where each was written."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from stackctl.core.secret import SecretRef
from stackctl.schema.fleet import Fleet
from stackctl.schema.source import Key


def references(fleet: Fleet) -> Iterator[tuple[Key, SecretRef]]:
    """Every reference by the name of its setting; one that hosts take from a profile is the profile's."""
    found = dict(_within(fleet, ()))
    for key, ref in found.items():
        if found.get(_in_profile(fleet, key)) != ref:
            yield key, ref


def _in_profile(fleet: Fleet, key: Key) -> Key:
    """The setting that a host's own may come from."""
    if key[0] != "hosts":
        return ()
    profile = fleet.hosts[str(key[1])].profile
    return () if profile is None else ("profiles", profile, *key[2:])


def _within(value: Any, key: Key) -> Iterator[tuple[Key, SecretRef]]:
    if isinstance(value, SecretRef):
        yield key, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _within(getattr(value, name), (*key, name))
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _within(inner, (*key, name))
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from _within(inner, (*key, index))
