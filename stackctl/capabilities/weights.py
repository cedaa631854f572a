"""Weights of models: on the host before anything is started on them."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from urllib.parse import urlsplit

from stackctl.core.artifact import FileTemplate
from stackctl.core.opening import Opening
from stackctl.core.secret import SecretRef
from stackctl.schema.audience import member
from stackctl.schema.fleet import Fleet
from stackctl.schema.problem import Problem
from stackctl.schema.snapshot import Snapshot, named
from stackctl.schema.source import dotted
from stackctl.servers.base import HubWeights

FOLDER = "/etc/stackctl/weights"
MANIFEST_FILE = f"{FOLDER}/manifest"
"""What is fetched: a section for each directory, with its sources and files."""
HUB_TOKEN_FILE = f"{FOLDER}/hub.conf"
MIRROR_TOKEN_FILE = f"{FOLDER}/mirror.conf"
PROGRAM_FILE = "/usr/lib/stackctl/fetch-weights"
UNIT = "stackctl-weights.service"
"""Serves this host's weights to other hosts."""
UNIT_FILE = f"/etc/systemd/system/{UNIT}"

PACKAGES = {"ubuntu-24.04": ("busybox-static",), "ubuntu-22.04": ("busybox-static",)}
"""Ubuntu's servers have this one already, and it excludes the one that Debian's have."""
DEBIAN_PACKAGES = ("busybox",)

MOST_PEERS = 8
"""Other hosts that one asks; each costs a request for every file."""


@dataclass(frozen=True)
class Source:
    """Where the files of one directory may be had."""

    name: str
    """`gpu2`, `mirror.lan`, `huggingface.co`, `/mnt/models`."""
    base: str
    """Address or directory that a file's path is appended to."""
    settings: str = ""
    """Path of curl's settings with the token that this source alone is sent; empty: it asks for none."""


@dataclass(frozen=True)
class Repository:
    """A directory that is fetched, whole or not at all."""

    name: str
    """`OWNER/NAME`."""
    path: str
    """Where it will be."""
    size: int
    """Bytes of its files."""
    files: tuple[tuple[str, int, str], ...]
    """Path, bytes and sha256 of each."""
    sources: tuple[Source, ...]
    """In the order in which they are asked."""


@dataclass(frozen=True)
class Unlocked:
    """A directory of a repository that `weights.lock` does not have."""

    name: str
    """`OWNER/NAME@REVISION`."""
    path: str
    """Where it would have to be by other means."""


@dataclass(frozen=True)
class Token:
    """An access token in curl's settings, in a file that root alone reads."""

    path: str
    secret: SecretRef


@dataclass(frozen=True)
class Serving:
    """How other hosts get this host's weights."""

    address: str
    port: int
    packages: tuple[str, ...]


@dataclass(frozen=True)
class WeightsSpec:
    """All weights that one host needs."""

    root: str
    brought: tuple[str, ...]
    """Directories that somebody else puts there."""
    repositories: tuple[Repository, ...]
    unlocked: tuple[Unlocked, ...]
    tokens: tuple[Token, ...]
    serving: Serving | None

    @property
    def hub(self) -> str:
        """The directory of all that is fetched."""
        return f"{self.root}/hub"


def resolve(fleet: Fleet, host: str) -> WeightsSpec | None:
    """The host's weights; None where it carries no models."""
    if "models" not in fleet.hosts[host].roles:
        return None
    found = {
        path: model for model, _ in fleet.on(host) if (path := fleet.weights_on(model, host)) is not None
    }
    hub = {path: model for path, model in sorted(found.items()) if _repository(fleet, model) is not None}
    locked = {
        path: snapshot for path, model in hub.items() if (snapshot := fleet.snapshot(model)) is not None
    }
    return WeightsSpec(
        root=fleet.hosts[host].weights,
        brought=tuple(path for path in sorted(found) if path not in hub),
        repositories=tuple(_fetched(fleet, host, hub[path], path, item) for path, item in locked.items()),
        unlocked=tuple(_unlocked(fleet, hub[path], path) for path in hub if path not in locked),
        tokens=_tokens(fleet) if locked else (),
        serving=_serving(fleet, host),
    )


def templates(spec: WeightsSpec) -> tuple[FileTemplate, ...]:
    """The manifest and the program that works on it, tokens, and the unit that serves other hosts."""
    fetching = (
        FileTemplate(MANIFEST_FILE, "weights/manifest.j2", {"repositories": spec.repositories}),
        FileTemplate(PROGRAM_FILE, "weights/program.j2", {"text": _program()}),
        *(
            FileTemplate(
                token.path,
                "weights/token.conf.j2",
                {"token": token.secret.placeholder},
                mode=0o600,
                secrets=(token.secret,),
            )
            for token in spec.tokens
        ),
    )
    unit = FileTemplate(UNIT_FILE, "weights/serving.service.j2", {"serving": spec.serving, "hub": spec.hub})
    return (*(fetching if spec.repositories else ()), *((unit,) if spec.serving else ()))


def openings(fleet: Fleet, host: str) -> tuple[Opening, ...]:
    """The port of its weights, for hosts of the fleet."""
    if not _serves(fleet, host):
        return ()
    return (Opening(fleet.weights.port, "tcp", "fleet", "weights for other hosts"),)


def check(fleet: Fleet) -> Iterator[Problem]:
    """Tokens without anybody to send them to, repositories that can be had nowhere, and a port that is taken."""
    wanted = fleet.weights
    for field, owner, base in (
        ("token", "endpoint", wanted.endpoint),
        ("mirror_token", "mirror", wanted.mirror),
    ):
        if getattr(wanted, field) is not None and base is None:
            what = f"is given, but there is no `{owner}` to send it to"
            yield Problem.at("weights", field, what=what, hint=f"take it out, or write `{owner}`")
    if wanted.endpoint is None and wanted.mirror is None and wanted.local is None:
        for model in sorted(fleet.placements):
            if model in fleet.models and _repository(fleet, model) is not None:
                what = (
                    f"`{model}` has the weights of a repository, and `weights` names nowhere to get them from"
                )
                yield Problem(
                    ("placements", model), what, "write one of `weights.local`, `mirror`, `endpoint`"
                )
    yield from _ports(fleet)


def _ports(fleet: Fleet) -> Iterator[Problem]:
    for host in sorted(fleet.hosts):
        if not _serves(fleet, host):
            continue
        taken = [
            (model, index)
            for model, placements in fleet.placements.items()
            for index, placement in enumerate(placements)
            if placement.host == host
            and model in fleet.models
            and fleet.weights.port == (placement.port or fleet.models[model].endpoint().port)
        ]
        for model, index in taken:
            what = f"port {fleet.weights.port} of {host} is already that of {dotted(('weights', 'port'))}"
            yield Problem(("placements", model, index), what, "give the replica or the weights another port")


def _repository(fleet: Fleet, model: str) -> HubWeights | None:
    weights = fleet.models[model].weights
    return weights if isinstance(weights, HubWeights) else None


def _unlocked(fleet: Fleet, model: str, path: str) -> Unlocked:
    weights = _repository(fleet, model)
    return Unlocked("" if weights is None else named(weights), path)


def _fetched(fleet: Fleet, host: str, model: str, path: str, snapshot: Snapshot) -> Repository:
    weights = _repository(fleet, model)
    name = "" if weights is None else weights.repo
    files = tuple((file, locked.size, locked.sha256) for file, locked in sorted(snapshot.files.items()))
    sources = tuple(_sources(fleet, host, name, snapshot.commit))
    return Repository(name, path, snapshot.size, files, sources)


def _sources(fleet: Fleet, host: str, repo: str, commit: str) -> Iterator[Source]:
    """In the order of their distance."""
    wanted = fleet.weights
    for peer in _peers(fleet, host, repo):
        yield Source(peer, f"http://{fleet.inside(peer)}:{wanted.port}/{repo}/{commit}")
    if wanted.local is not None:
        cache = f"models--{repo.replace('/', '--')}/snapshots/{commit}"
        for folder in (f"{repo}/{commit}", repo, cache):
            yield Source(wanted.local, f"{wanted.local}/{folder}")
    for url, token, settings in (
        (wanted.mirror, wanted.mirror_token, MIRROR_TOKEN_FILE),
        (wanted.endpoint, wanted.token, HUB_TOKEN_FILE),
    ):
        if url is not None:
            yield Source(
                urlsplit(url).netloc, f"{url}/{repo}/resolve/{commit}", settings if token is not None else ""
            )


def _peers(fleet: Fleet, host: str, repo: str) -> tuple[str, ...]:
    """Other hosts that may have it: those that are to have it and are near come first; each host begins elsewhere."""
    others = [name for name in fleet.with_role("models") if _serves(fleet, name) and name != host]
    turned = [name for name in others if name > host] + [name for name in others if name < host]
    own = member(fleet, host)

    def far(name: str) -> tuple[bool, bool]:
        other = member(fleet, name)
        near = own is not None and other is not None and own.near(other)
        return repo not in _placed(fleet, name), not near

    return tuple(sorted(turned, key=far)[:MOST_PEERS])


def _placed(fleet: Fleet, host: str) -> frozenset[str]:
    """Repositories whose models are on the host."""
    models = (model for model, _ in fleet.on(host) if model in fleet.models)
    return frozenset(found.repo for model in models if (found := _repository(fleet, model)) is not None)


def _serves(fleet: Fleet, host: str) -> bool:
    """Whether others may get weights from it: all do where one needs a repository, so that models can move."""
    carriers = fleet.with_role("models")
    return (
        fleet.weights.peers
        and host in carriers
        and len(carriers) > 1
        and any(_placed(fleet, name) for name in carriers)
    )


def _serving(fleet: Fleet, host: str) -> Serving | None:
    if not _serves(fleet, host):
        return None
    packages = PACKAGES.get(fleet.hosts[host].os, DEBIAN_PACKAGES)
    return Serving(str(fleet.inside(host)), fleet.weights.port, packages)


def _tokens(fleet: Fleet) -> tuple[Token, ...]:
    pairs = ((HUB_TOKEN_FILE, fleet.weights.token), (MIRROR_TOKEN_FILE, fleet.weights.mirror_token))
    return tuple(Token(path, secret) for path, secret in pairs if secret is not None)


def _program() -> str:
    return resources.files("stackctl.agents").joinpath("fetch_weights.sh").read_text("utf-8")
