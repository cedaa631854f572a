"""Secrets that are written where all can read them: how they are known, and their refusal."""

import re
from collections.abc import Iterable
from itertools import pairwise

from pydantic_core import PydanticCustomError

_SECRET_WORDS = {"password", "passwd", "passphrase", "secret", "token", "apikey", "credential", "credentials"}
_SECRET_KEYS = {"api", "access", "private", "secret", "account"}


def smells_of_secret(name: str) -> bool:
    """Whether a setting of this name holds a secret: `HF_TOKEN` and `--api-key` do, `MAX_TOKENS` does not."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    return bool(_SECRET_WORDS & set(words)) or any(
        last == "key" and first in _SECRET_KEYS for first, last in pairwise(words)
    )


_SECRETS = re.compile(
    r"[^\s/:@]*:[^\s/:@]+@[\w.-]"  # user:password@host
    r"|\b(hf_|sk-|gh[pousr]_|github_pat_|glpat-)[A-Za-z0-9_-]{16}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
)


def holds_secret(value: str) -> bool:
    """Whether a value looks like a secret whatever it is called: a URL with a password, a well-known token."""
    return _SECRETS.search(value) is not None


def secret_in_clear(*at: str | int, instead: str) -> PydanticCustomError:
    """The refusal of a secret in clear `at` a place below the value judged; the value is not in it."""
    return PydanticCustomError("secret_in_clear", "is a secret in clear", {"at": at, "instead": instead})


def arguments_without_secrets(arguments: Iterable[str]) -> None:
    """Refuse arguments that hold a secret: every user of the host could read them."""
    listed = list(arguments)
    for index, argument in enumerate(listed):
        flag, equals, _ = argument.partition("=")
        named = flag.startswith("-") and smells_of_secret(flag) and (equals or index + 1 < len(listed))
        if named or holds_secret(argument):
            at = index if equals or not named else index + 1
            raise secret_in_clear(
                at, instead="an `env` variable as `{secret: NAME}`; arguments are readable by all"
            )
