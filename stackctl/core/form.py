"""Text of a certain form, judged and worded the same wherever a person writes it."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from stackctl.core.secret import NAME


@dataclass(frozen=True)
class Form:
    """Annotation for a text that must match `pattern` wholly; `wording` tells a person how it looks."""

    pattern: str
    wording: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Judge after pydantic has made sure that it is text."""
        return core_schema.no_info_after_validator_function(self._judged, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Editors judge by the same pattern."""
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}

    def _judged(self, text: str) -> str:
        if re.fullmatch(self.pattern, text) is None:
            raise PydanticCustomError("form", "{wording}", {"wording": self.wording})
        return text


def worded(wording: str) -> WrapValidator:
    """Annotation for a value of several types, none of which fits: one finding that tells a person how it looks."""

    def judged(value: Any, judge: ValidatorFunctionWrapHandler) -> Any:
        try:
            return judge(value)
        except ValidationError as error:
            raise PydanticCustomError("form", "{wording}", {"wording": wording}) from error

    return WrapValidator(judged)


def _number_as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


TextOrNumber = Annotated[
    str, BeforeValidator(_number_as_text), WithJsonSchema({"type": ["string", "integer"]})
]
"""Text that is often a whole number, such as a kernel setting; both spellings are the same."""

HostName = Annotated[
    str,
    Form(
        r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
        "lower-case letters, digits and hyphens, a letter first, 63 at most",
    ),
]
DomainName = Annotated[
    str,
    Form(
        r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*",
        "lower-case labels of letters, digits and hyphens, joined by dots",
    ),
]
ModelName = Annotated[
    str,
    Form(
        r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?",
        "lower-case letters, digits, dots, hyphens and underscores, 63 at most; it is part of URLs",
    ),
]
SecretName = Annotated[str, Form(NAME, "lower-case letters, digits and hyphens")]
AbsolutePath = Annotated[
    str, Form(r"(/[A-Za-z0-9_@+=][A-Za-z0-9._@+=-]*)+", "an absolute path of letters, digits and `._@+=-`")
]
InterfaceName = Annotated[
    str,
    Form(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", "a network interface as `ip link` names it, 15 characters at most"
    ),
]
UserName = Annotated[
    str,
    Form(
        r"[a-z_][a-z0-9_-]{0,31}", "a user as `/etc/passwd` has it: lower-case letters, digits, `_` and `-`"
    ),
]
EnvironmentVariable = Annotated[str, Form(r"[A-Za-z_][A-Za-z0-9_]*", "letters, digits and underscores")]
ImageName = Annotated[
    str,
    Form(
        r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*"
        r":(?!latest$)[A-Za-z0-9_][A-Za-z0-9._-]{0,127}",
        "`name:version`, or `registry:port/name:version`; `latest` is no version",
    ),
]
CudaVersion = Annotated[str, Form(r"[1-9][0-9]\.[0-9]", 'a CUDA version in quotes, such as `"12.8"`')]
Architecture = Annotated[
    str,
    Form(
        r"sm_[1-9][0-9]{1,2}[af]?(\+PTX)?",
        "an architecture as nvcc names it, `sm_90`, with `+PTX` where it has that",
    ),
]
Size = Annotated[str, Form(r"[1-9][0-9]*[KMG]", "a number and `K`, `M` or `G`")]
UrlPath = Annotated[str, Form(r"/[A-Za-z0-9._~/-]*", "a path that starts with a slash, without a query")]
Registry = Annotated[
    str,
    Form(
        r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?",
        "a name or address, with `:port` where it is not 443, without `https://`",
    ),
]
