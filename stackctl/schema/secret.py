"""A field that holds a secret takes a reference to it, never the secret."""

from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from stackctl.core.secret import SecretRef
from stackctl.servers.base import secret_in_clear


def _reference(value: Any) -> SecretRef:
    """Whatever is no reference may be the secret itself, so it is refused without a word of it."""
    if isinstance(value, SecretRef):
        return value
    try:
        return SecretRef.parse(value if isinstance(value, str) else "")
    except ValueError:
        raise secret_in_clear(instead="`env:NAME`, `file:PATH` or `command:PROGRAM ARG...`") from None


Secret = Annotated[
    SecretRef,
    PlainValidator(_reference),
    PlainSerializer(lambda ref: f"{ref.scheme}:{ref.target}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(env:[A-Za-z_][A-Za-z0-9_]*$|(file|command):\S)"}),
]
