"""A model hub on loopback, as far as huggingface-hub asks one."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.upstream.stand_in import Asked, Reply, StandIn, standing_in, told

LARGE = 1000
"""Bytes from which on the stand-in keeps a file in its large file storage."""


@dataclass
class FakeHub:
    """What it has, which a test changes as it goes."""

    server: StandIn
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Files by repository."""
    gated: set[str] = field(default_factory=set)
    token: str | None = None
    """Who has it is shown what is gated."""
    refuses: str | None = None
    """A token that is nobody's."""
    served: dict[str, bytes] = field(default_factory=dict)
    """Content that is served instead of what the repository has, by file."""

    @property
    def endpoint(self) -> str:
        return f"http://{self.server.address}"

    def commit(self, repo: str) -> str:
        """A commit's name follows from its files."""
        files = sorted(self.repositories[repo].items())
        return hashlib.sha1(repr(files).encode()).hexdigest()  # noqa: S324 - as git has them


@contextmanager
def serving(repositories: Mapping[str, dict[str, bytes]]) -> Iterator[FakeHub]:
    """Serve these repositories, each with the one branch `main`, until the block ends."""
    with standing_in(lambda asked: _answer(hub, asked)) as server:
        hub = FakeHub(server, dict(repositories))
        yield hub


def _answer(hub: FakeHub, asked: Asked) -> Reply:
    path = unquote(asked.path.partition("?")[0])
    found = re.fullmatch(r"(?:/api/models)?/([^/]+/[^/]+)/(revision/|resolve/|refs)([^/]*)/?(.*)", path)
    if found is None or found[1] not in hub.repositories:
        return _error(404, "RepoNotFound")
    repo, kind, revision, file = found.groups()
    refusal = _refusal(hub, repo, asked)
    if refusal is not None:
        return refusal
    commit = hub.commit(repo)
    if kind == "refs":
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": commit}
        return told({"branches": [main], "converts": [], "tags": []})
    if revision not in ("main", commit):
        return _error(404, "RevisionNotFound")
    if kind == "resolve/":
        return Reply(200, hub.served.get(file, hub.repositories[repo][file]))
    files = [_sibling(name, content) for name, content in hub.repositories[repo].items()]
    return told({"id": repo, "sha": commit, "siblings": files, "tags": [], "downloads": 0})


def _refusal(hub: FakeHub, repo: str, asked: Asked) -> Reply | None:
    if hub.refuses is not None and asked.authorization == f"Bearer {hub.refuses}":
        return Reply(401, headers={"X-Error-Message": "Invalid credentials in Authorization header"})
    if repo in hub.gated and (hub.token is None or asked.authorization != f"Bearer {hub.token}"):
        return _error(403, "GatedRepo")
    return None


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324 - as git has them
    sibling: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": blob}
    if len(content) >= LARGE:
        digest = hashlib.sha256(content).hexdigest()
        sibling["lfs"] = {"size": len(content), "sha256": digest, "pointerSize": 130}
    return sibling


def _error(status: int, code: str) -> Reply:
    return Reply(status, json.dumps({"error": code}).encode(), {"X-Error-Code": code})
