"""A model repository as the hub has it: the commit behind the revision, and every file with its hash."""

import difflib
import hashlib
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import httpx
from huggingface_hub import HfApi, close_session, get_session, hf_hub_url, set_client_factory
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import ModelInfo, RepoSibling
from huggingface_hub.utils import hf_raise_for_status

from stackctl.core.finding import FailureError, Finding, FindingsError
from stackctl.core.secret import SecretRef
from stackctl.ops import secret
from stackctl.schema.lock import Repository
from stackctl.schema.snapshot import COMMIT, FILE, LockedFile, Snapshot
from stackctl.upstream.http import PatientClient
from stackctl.upstream.lookup import Hub
from stackctl.upstream.registry import unreached

_CONFIG = "config.json"
_NEAR = 3
_LARGEST = 64 * 1024 * 1024
"""Bytes of a file that is in the repository itself; larger ones are in the hub's large file storage."""
_DEEPEST = 20
"""Levels of a configuration; a deeper one is left out of the lock."""


class ModelHub:
    """The hub, asked with the token that the inventory or this shell's HF_TOKEN names."""

    def __init__(self, settings: Hub) -> None:
        self.endpoint = settings.endpoint
        self._unread: tuple[str, ...] = ()
        self._down: Finding | None = None
        self._token = self._read(settings.token)
        self._api = HfApi(endpoint=self.endpoint, token=self._token or False)

    def locked(self, wanted: Repository, known: Snapshot | None = None) -> Snapshot:
        """What a revision is at the moment: the entry that is known where it is the same commit and files still.

        FailureError where the hub cannot be asked, FindingsError where it has no such repository.
        """
        where = f"{wanted.repo}@{wanted.revision}"
        if self._down is not None:  # once is enough to wait for it
            raise FailureError(self._down)
        try:
            return self._snapshot(where, wanted, known)
        except HfHubHTTPError as error:
            raise self._refused(where, wanted, error) from error
        except httpx.HTTPError as error:
            self._down = unreached("hub", self.endpoint, error)
            raise FailureError(self._down) from error

    def _snapshot(self, where: str, wanted: Repository, known: Snapshot | None) -> Snapshot:
        told = self._api.model_info(wanted.repo, revision=wanted.revision, files_metadata=True)
        files = {item.rfilename: item for item in told.siblings or ()}
        chosen = wanted.wanted(files)
        if known is not None and (known.commit, sorted(known.files)) == (told.sha, list(chosen)):
            return known
        _fit(where, told, chosen)
        commit = str(told.sha)
        entries: dict[str, LockedFile] = {}
        config: dict[str, Any] = {}
        for path in chosen:
            pointed = _pointed(files[path])
            if pointed is None:
                content = self._content(where, wanted.repo, commit, files[path])
                pointed = LockedFile(size=len(content), sha256=hashlib.sha256(content).hexdigest())
                config = _config(content) if path == _CONFIG else config
            entries[path] = pointed
        return Snapshot(commit=commit, files=entries, config=config)

    def _content(self, where: str, repo: str, commit: str, file: RepoSibling) -> bytes:
        """A small file, whose sha256 the hub does not tell; its git hash it does, so it is compared with that."""
        url = hf_hub_url(repo, file.rfilename, revision=commit, endpoint=self.endpoint)
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        content = b""
        with get_session().stream("GET", url, headers=headers) as response:
            if response.status_code != 200:
                response.read()
                hf_raise_for_status(response)
            for piece in response.iter_bytes():
                content += piece
                if len(content) > _LARGEST:
                    break
        if hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() != file.blob_id:  # noqa: S324 - git's
            what = f"`{file.rfilename}` is not what commit {commit[:12]} has under that name"
            raise FailureError(Finding(where, what, f"something between here and {self.endpoint} changes it"))
        return content

    def _read(self, named: SecretRef | None) -> str | None:
        """The token; None where there is none, or none that can be read here."""
        ref = named or (SecretRef("env", "HF_TOKEN") if os.environ.get("HF_TOKEN") else None)
        try:
            return None if ref is None else secret.value(ref)
        except FindingsError as error:
            self._unread = tuple(f"{item.where} {item.what}" for item in error.findings)
            return None

    def _refused(self, where: str, wanted: Repository, error: HfHubHTTPError) -> FindingsError:
        if isinstance(error, GatedRepoError):
            hint = (
                f"ask for access at {self.endpoint}/{wanted.repo}, and name your token with `weights.token`"
            )
            return FailureError(
                Finding(where, "is shown to those alone who asked for access", hint, self._unread)
            )
        if isinstance(error, RepositoryNotFoundError):
            what = f"{self.endpoint} has no repository `{wanted.repo}`, or does not show it to us"
            hint = "check the name; for a private one, name a token with `weights.token`"
            return FindingsError(Finding(where, what, hint, self._unread))
        if isinstance(error, RevisionNotFoundError):
            return FindingsError(self._no_revision(where, wanted))
        status = error.response.status_code
        if status in (401, 403):
            hint = "check the token that `weights.token` or HF_TOKEN names, and what it may read"
            return FailureError(
                Finding(where, f"{self.endpoint} refuses it with {status}", hint, self._unread)
            )
        hint = (
            "wait, and run again" if status == 429 else f"see whether {self.endpoint} is well, and run again"
        )
        return FailureError(Finding(where, f"{self.endpoint} answers {status}", hint, self._unread))

    def _no_revision(self, where: str, wanted: Repository) -> Finding:
        near: list[str] = []
        with suppress(HfHubHTTPError, httpx.HTTPError):
            refs = self._api.list_repo_refs(wanted.repo)
            names = [ref.name for ref in (*refs.branches, *refs.tags)]
            near = difflib.get_close_matches(wanted.revision, names, n=_NEAR, cutoff=0.5) or names[:_NEAR]
        hint = (
            f"there is {' or '.join(f'`{name}`' for name in near)}"
            if near
            else "look at its branches and tags"
        )
        return Finding(where, f"{wanted.repo} has no revision `{wanted.revision}`", hint)


class ModelHubs:
    """The hubs that the environments name; what one does not have, the next may."""

    def __init__(self, settings: Sequence[Hub]) -> None:
        set_client_factory(PatientClient)  # the library's own waits without end
        self._hubs = tuple(ModelHub(each) for each in settings)

    def close(self) -> None:
        """Let go of all connections."""
        close_session()

    def locked(self, wanted: Repository, known: Snapshot | None = None) -> Snapshot:
        """What a revision is at the moment; what the first one says where none has it."""
        failures: list[FindingsError] = []
        for hub in self._hubs:
            try:
                return hub.locked(wanted, known)
            except FindingsError as error:
                failures.append(error)
        raise failures[0]


def _fit(where: str, told: ModelInfo, chosen: tuple[str, ...]) -> None:
    """Refuse what no entry of the lock can be made of."""
    if re.fullmatch(COMMIT, str(told.sha)) is None:
        raise FailureError(
            Finding(where, f"the hub names no commit, but `{told.sha}`", "check `hub.endpoint`")
        )
    if not chosen:
        raise FindingsError(
            Finding(where, "holds no file that is wanted", "check `weights.files` of its models")
        )
    unfit = tuple(path for path in chosen if re.fullmatch(FILE, path) is None)
    if unfit:
        hint = "name with `weights.files` of its models which files are wanted"
        raise FindingsError(Finding(where, "has files whose names hosts do not take", hint, unfit))


def _pointed(file: RepoSibling) -> LockedFile | None:
    """A large file, of which the repository itself has size and sha256 alone; None where it has the content."""
    return None if file.lfs is None else LockedFile(size=file.lfs.size, sha256=file.lfs.sha256)


def _config(content: bytes) -> dict[str, Any]:
    """A model's configuration; empty where it has none that can be kept."""
    try:
        found = json.loads(content or b"{}", parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and _depth(found) <= _DEEPEST else {}


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(item) for item in inner), default=0)
