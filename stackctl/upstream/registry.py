"""An image as its registry has it: the digest behind the tag, and what the image says of itself."""

import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import httpx

from stackctl.core.finding import FailureError, Finding, FindingsError
from stackctl.nvidia import requirement
from stackctl.schema.image import Locked, LockedImage, digest
from stackctl.upstream.http import PatientClient
from stackctl.upstream.login import Login, RegistryLogin
from stackctl.upstream.reference import Reference, address

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPTED = ", ".join((*_INDEXES, *_MANIFESTS))
_PLATFORM = ("linux", "amd64")
_LARGEST = 4 * 1024 * 1024
"""Bytes of a manifest, which registries themselves do not take larger."""
_NEAR = 3
_PROBE = 3
"""Seconds that an insecure registry has to show that it speaks TLS after all."""


class ImageRegistry:
    """One registry, asked with the logins that the inventory has for it."""

    def __init__(self, name: str, logins: Sequence[Login] = (), *, insecure: bool = False) -> None:
        self.name = name
        self._logins = logins
        self._insecure = insecure
        self._client = PatientClient(verify=not insecure)
        self._down: Finding | None = None

    def close(self) -> None:
        """Let go of its connections."""
        self._client.close()

    def locked(self, wanted: Reference, known: Locked | None = None) -> Locked:
        """What a tag is at the moment: the entry that is known where that has its digest still.

        FailureError where the registry cannot be asked, FindingsError where it has no such image.
        """
        if self._down is not None:  # once is enough to wait for it
            raise FailureError(self._down)
        try:
            return _Repository(self, wanted).locked(known)
        except httpx.HTTPError as error:
            self._down = unreached(self.name, address(self.name), error)
            raise FailureError(self._down) from error

    @cached_property
    def base(self) -> httpx.URL:
        """Where it answers: one that is declared to be insecure may do so in clear."""
        place = address(self.name)
        if self._insecure:
            with suppress(httpx.TransportError):
                self._client.get(f"https://{place}/v2/", timeout=_PROBE)
                return httpx.URL(f"https://{place}")
        return httpx.URL(f"{'http' if self._insecure else 'https'}://{place}")

    def login(self, repository: str) -> RegistryLogin:
        """Who asks for what is in a repository."""
        return RegistryLogin(self._logins, repository, clear=self._insecure)

    def stream(self, path: str, login: RegistryLogin) -> Any:
        """The answer to a question for something in it, its body still to come."""
        url = self.base.copy_with(raw_path=path.encode())
        return self._client.stream("GET", url, headers={"Accept": _ACCEPTED}, auth=login)

    def head(self, path: str, login: RegistryLogin) -> httpx.Response:
        """An answer without its body, which registries do not count as a pull."""
        url = self.base.copy_with(raw_path=path.encode())
        return self._client.head(url, headers={"Accept": _ACCEPTED}, auth=login)


class _Repository:
    def __init__(self, registry: ImageRegistry, wanted: Reference) -> None:
        self.registry = registry
        self.wanted = wanted
        self.root = f"/v2/{wanted.repository}"
        self.login = registry.login(wanted.repository)
        self.where = wanted.image

    def locked(self, known: Locked | None) -> Locked:
        if known is not None and self._is_still(digest(known)):
            return known
        found, content = self._manifest(self.wanted.tag)
        return _entry(found, self._variables(content), known)

    def _is_still(self, known: str) -> bool:
        response = self.registry.head(f"{self.root}/manifests/{self.wanted.tag}", self.login)
        return response.status_code == 200 and response.headers.get("Docker-Content-Digest") == known

    def _manifest(self, reference: str) -> tuple[str, dict[str, Any]]:
        """A manifest by tag or digest, with the digest that its bytes have."""
        body, headers = self._fetched(f"{self.root}/manifests/{reference}")
        found = _digest_of(body)
        told = headers.get("Docker-Content-Digest", found)
        for named in (told, reference if reference.startswith("sha256:") else found):
            self._same(named, found)
        content = _json(body)
        kind = content.get("mediaType", headers.get("Content-Type", "").partition(";")[0])
        if kind not in (*_INDEXES, *_MANIFESTS):
            what = f"is no image of today's form, but `{kind}`"
            raise FailureError(Finding(self.where, what, "push it again with a newer program"))
        return found, content

    def _variables(self, content: dict[str, Any]) -> dict[str, str]:
        """The environment that the image for our hosts sets."""
        if "manifests" in content:
            content = self._manifest(_ours(content["manifests"]))[1]
        named = _named(_part(content, "config"))
        body, _ = self._fetched(f"{self.root}/blobs/{named}")
        self._same(named, _digest_of(body))
        pairs = _part(_json(body), "config").get("Env")
        split = (str(pair).partition("=") for pair in (pairs if isinstance(pairs, list) else ()))
        return {name: value for name, _, value in split}

    def _same(self, named: str, found: str) -> None:
        if named != found:
            what = f"{self.wanted.registry} answers with other bytes than it names: {named} has the sha256 {found[7:]}"
            hint = "something between here and the registry, or the registry itself, changes what it serves"
            raise FailureError(Finding(self.where, what, hint))

    def _fetched(self, path: str) -> tuple[bytes, httpx.Headers]:
        with self.registry.stream(path, self.login) as response:
            body = b""
            for piece in response.iter_bytes():
                body += piece
                if len(body) > _LARGEST:
                    raise FailureError(Finding(self.where, f"{path} is larger than {_LARGEST >> 20} MiB"))
        if response.status_code != 200:
            raise self._refused(response)
        return body, response.headers

    def _refused(self, response: httpx.Response) -> FindingsError:
        status, name = response.status_code, self.wanted.registry
        if status in (401, 403):
            return FailureError(self._unauthorised(status))
        if status == 404:
            return FindingsError(self._missing())
        if status == 429:
            hint = f"wait, or give it a login: `docker.registries.{name}` of a host"
            return FailureError(Finding(self.where, f"{name} has had too many requests from here", hint))
        hint = f"see whether {response.url.host} is well, and run again"
        return FailureError(Finding(self.where, f"{name} answers {status}", hint))

    def _unauthorised(self, status: int) -> Finding:
        name = self.wanted.registry
        unread = tuple(f"{item.where} {item.what}" for error in self.login.unread for item in error.findings)
        if self.login.logins and not unread:
            hint = f"check user and password of `docker.registries.{name}`, and what they may read"
        elif unread:
            hint = "make the secret readable here, and run again"
        else:
            hint = f"give a host `docker.registries: {{{name}: {{user: ..., password: ...}}}}`, or check the name"
        return Finding(self.where, f"{name} refuses it with {status}", hint, unread)

    def _missing(self) -> Finding:
        with suppress(httpx.HTTPError, FindingsError):
            body, _ = self._fetched_tags()
            tags = [str(tag) for tag in _json(body).get("tags") or []]
            near = difflib.get_close_matches(self.wanted.tag, tags, n=_NEAR, cutoff=0.5)
            hint = f"did you mean {' or '.join(f'`{tag}`' for tag in near)}?" if near else None
            what = f"there is no tag `{self.wanted.tag}` of {self.wanted.repository}"
            return Finding(self.where, what, hint or "look at the tags that the registry lists")
        what = f"{self.wanted.registry} has no repository `{self.wanted.repository}`"
        return Finding(self.where, what, "check the image's name in inventory/models.yaml")

    def _fetched_tags(self) -> tuple[bytes, httpx.Headers]:
        with self.registry.stream(f"{self.root}/tags/list", self.login) as response:
            response.read()
        if response.status_code != 200:
            raise FailureError(Finding(self.where, "lists no tags"))
        return response.content, response.headers


def unreached(where: str, place: str, error: httpx.HTTPError) -> Finding:
    """What kept us from asking; with the address where that is not the one that was asked first."""
    with suppress(RuntimeError):  # some errors know no request
        place = error.request.url.netloc.decode()
    what = f"{place} cannot be asked: {str(error) or type(error).__name__}"
    return Finding(where, what, "see whether this machine reaches it; what is locked stays as it is")


def _entry(found: str, variables: dict[str, str], known: Locked | None) -> Locked:
    """What the image tells of itself; what it does not tell stays as a person wrote it."""
    asks = variables.get("NVIDIA_REQUIRE_CUDA", "")
    demands = variables.get("NVIDIA_DISABLE_REQUIRE") not in ("1", "true")
    cuda = re.match(r"[1-9][0-9]\.[0-9](?![0-9])", variables.get("CUDA_VERSION", ""))
    old = known if isinstance(known, LockedImage) else LockedImage(digest=found)
    entry = LockedImage(
        digest=found,
        cuda=cuda[0] if cuda else old.cuda,
        requires=(asks if re.fullmatch(requirement.PATTERN, asks) else old.requires) if demands else None,
        architectures=old.architectures,
    )
    return found if entry == LockedImage(digest=found) else entry


def _ours(listed: Any) -> str:
    """The digest of the image for our hosts' processors; of the first where none is."""
    images = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    fit = [item for item in images if _platform(item) == _PLATFORM]
    return _named((fit or images or [{}])[0])


def _platform(image: dict[str, Any]) -> tuple[Any, Any]:
    platform = _part(image, "platform")
    return platform.get("os"), platform.get("architecture")


def _named(part: dict[str, Any]) -> str:
    """The digest in a manifest's reference to something; one that is none becomes part of no path."""
    named = str(part.get("digest"))
    return named if re.fullmatch(r"sha256:[0-9a-f]{64}", named) else "sha256:none"


def _part(content: dict[str, Any], name: str) -> dict[str, Any]:
    part = content.get(name)
    return part if isinstance(part, dict) else {}


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
