"""A field that holds a secret takes a reference to it, never the secret."""

from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from stackctl.core.secret import PATTERN, WAYS, SecretRef
from stackctl.servers.in_clear import secret_in_clear


def _reference(value: Any, info: ValidationInfo) -> SecretRef:
    """Whatever is no reference may be the secret itself, so it is refused without a word of it."""
    if isinstance(value, SecretRef):
        return value
    beside = (info.context or {}).get("secrets")
    try:
        return SecretRef.parse(value if isinstance(value, str) else "", beside)
    except ValueError:
        raise secret_in_clear(instead=WAYS) from None


Secret = Annotated[
    SecretRef,
    PlainValidator(_reference),
    PlainSerializer(lambda ref: ref.written, return_type=str),
    WithJsonSchema({"type": "string", "pattern": PATTERN}),
]
