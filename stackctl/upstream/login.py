"""How a registry is told who asks: with name and password, or with a token that they buy."""

import base64
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import httpx

from stackctl.core.finding import FindingsError
from stackctl.core.secret import SecretRef
from stackctl.ops import secret
from stackctl.upstream.http import BUSY

_PART = re.compile(r'(\w+)="([^"]*)"')
_REFUSED = (401, 403)


@dataclass(frozen=True, order=True)
class Login:
    """Credentials for one registry, the password still where it is kept."""

    user: str
    password: SecretRef


class RegistryLogin(httpx.Auth):
    """Answers a registry's challenge: each login in turn, or nobody's where none can be read.

    A password goes to the registry and to the address that it names for tokens, never in clear unless the
    registry itself is asked in clear, and never to where it sends us for a file.
    """

    def __init__(self, logins: Sequence[Login], repository: str, *, clear: bool) -> None:
        self.logins = logins
        self.scope = f"repository:{repository}:pull"
        self.clear = clear
        self.unread: list[FindingsError] = []
        """Why logins could not be used."""
        self._header: str | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Ask as before, and where that is not enough once more."""
        if self._header is not None:
            request.headers["Authorization"] = self._header
        response = yield request
        if response.status_code != 401 or response.url.host != request.url.host:
            return
        scheme, parts = _challenge(response)
        for user in self._users():
            header = user
            if scheme == "bearer":
                buying = self._purchase(parts, user)
                response = response if buying is None else (yield buying)
                if response.status_code in BUSY:
                    return  # the seller's answer counts, and is tried again like any other
                header = None if buying is None else _bought(response)
            request.headers.pop("Authorization", None)
            if header is not None:
                request.headers["Authorization"] = header
            response = yield request
            if response.status_code not in _REFUSED:
                self._header = header
                return

    def _users(self) -> list[str | None]:
        """What each login that can be read says for itself; a nobody where there is none."""
        found: list[str | None] = []
        for login in self.logins:
            try:
                pair = f"{login.user}:{secret.value(login.password)}"
            except FindingsError as error:
                self.unread.append(error)
                continue
            found.append(f"Basic {base64.b64encode(pair.encode()).decode()}")
        return found or [None]

    def _purchase(self, parts: dict[str, str], user: str | None) -> httpx.Request | None:
        """The request for a token; None where it would tell a password in clear."""
        try:
            realm = httpx.URL(parts.get("realm", ""))
        except httpx.InvalidURL:
            return None
        if realm.scheme != "https" and not (self.clear and realm.scheme == "http"):
            return None
        wanted = {"service": parts["service"]} if "service" in parts else {}
        headers = {} if user is None else {"Authorization": user}
        return httpx.Request("GET", realm.copy_merge_params({**wanted, "scope": self.scope}), headers=headers)


def _challenge(response: httpx.Response) -> tuple[str, dict[str, str]]:
    """The scheme that is asked for, and what it comes with; tokens where there is a choice."""
    listed = [value.partition(" ") for value in response.headers.get_list("WWW-Authenticate")]
    found = {scheme.lower(): dict(_PART.findall(rest)) for scheme, _, rest in listed}
    return ("bearer", found["bearer"]) if "bearer" in found else ("basic", found.get("basic", {}))


def _bought(response: httpx.Response) -> str | None:
    """The header with the token; None where none was given."""
    response.read()
    try:
        answer = response.json() if response.status_code == 200 else {}
    except ValueError:
        return None
    token = (answer.get("token") or answer.get("access_token")) if isinstance(answer, dict) else None
    return f"Bearer {token}" if isinstance(token, str) and token.isprintable() else None
