"""An interface's file with the keys that are known, and what a kernel makes of it. Pure."""

import base64
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

HIDDEN = "PresharedKey = (hidden)"
"""What stands for a shared key wherever a file is shown."""

_SECTION = re.compile(r"^\[Peer\]$", re.MULTILINE)
_NAMED = re.compile(r"^# ([a-z0-9-]+), key ([0-9]+)$", re.MULTILINE)
_PUBLIC = re.compile(r"^PublicKey = (.+)$", re.MULTILINE)
_ALLOWED = re.compile(r"^AllowedIPs = (.+)$", re.MULTILINE)
_ENDPOINT = re.compile(r"^Endpoint = (\S+)$", re.MULTILINE)
_KEEPALIVE = re.compile(r"^PersistentKeepalive = ([0-9]+)$", re.MULTILINE)
_ROUTE = re.compile(r"^PostUp = ip -4 route replace (\S+) .*$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """A peer as a file has it."""

    name: str
    number: int
    key: str
    allowed: tuple[str, ...]
    endpoint: str | None
    keepalive: int | None
    shared: bool
    """Whether it has a key that the two share besides."""


@dataclass(frozen=True)
class Seen:
    """A peer as an interface has it."""

    allowed: tuple[str, ...]
    endpoint: str | None
    keepalive: int | None
    shared: bool


@dataclass(frozen=True)
class Running:
    """An interface as it is; empty where there is none."""

    public: str = ""
    port: int = 0
    mark: int = 0
    mtu: int = 0
    addresses: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    peers: Mapping[str, Seen] = field(default_factory=dict)
    """By key."""


def entries(text: str) -> tuple[Entry, ...]:
    """The peers of a file that have a name of ours."""
    return tuple(entry for section in _SECTION.split(text)[1:] if (entry := _entry(section)) is not None)


def _entry(section: str) -> Entry | None:
    named, public, allowed = _NAMED.search(section), _PUBLIC.search(section), _ALLOWED.search(section)
    if named is None or public is None or allowed is None:
        return None
    endpoint, keepalive = _ENDPOINT.search(section), _KEEPALIVE.search(section)
    return Entry(
        named[1],
        int(named[2]),
        public[1],
        tuple(network.strip() for network in allowed[1].split(",")),
        endpoint[1] if endpoint else None,
        int(keepalive[1]) if keepalive else None,
        "PresharedKey = " in section,
    )


def filled(text: str, keys: Mapping[str, tuple[str, int]], shared: Callable[[str], str] | None) -> str:
    """The rendered file with keys, by name with their numbers, in the places held for them.

    Peers without a key are left out. Without `shared`, shared keys are as they are shown.
    """
    head, *sections = _SECTION.split(text)
    parts = [head.rstrip("\n")]
    for section in sections:
        named = _NAMED.search(section)
        if named is None or named[1] not in keys:
            continue
        name, (key, number) = named[1], keys[named[1]]
        body = _NAMED.sub(f"# {name}, key {number}", section.rstrip("\n"))
        body = body.replace(coming(name), key)
        line = HIDDEN if shared is None else f"PresharedKey = {shared(name)}"
        parts.append("\n[Peer]" + body.replace(f"PresharedKey = <key shared with {name}>", line))
    return "\n".join(parts) + "\n"


def coming(name: str) -> str:
    """What stands for a key that is yet to be made, in a plan."""
    return f"<public key of {name}>"


def shared_key(master: str, epoch: int, one: str, other: str) -> str:
    """The key that two hosts share; both sides come to the same, whoever asks."""
    message = "\n".join(("stackctl mesh", str(epoch), *sorted((one, other))))
    return base64.b64encode(hmac.digest(master.encode(), message.encode(), "sha256")).decode()


def shape(text: str) -> list[str]:
    """What an interface has to be made anew for; peers and routes are changed while it runs."""
    head = _SECTION.split(text)[0]
    return [row for row in head.splitlines() if row.strip() and row[0] != "#" and not _ROUTE.match(row)]


def routes(text: str) -> tuple[str, ...]:
    """The networks that the file routes into the interface."""
    return tuple(match[1] for match in _ROUTE.finditer(text))


def setting(text: str, key: str) -> str:
    """A setting of the interface itself; empty where there is none."""
    match = re.search(rf"^{key} = (\S+)$", _SECTION.split(text)[0], re.MULTILINE)
    return match[1] if match else ""


def changed(before: str, after: str) -> Iterator[str]:
    """What becomes of the peers, from one file to the next, in few words each."""
    heads = [_NAMED.search(_SECTION.split(text)[0]) for text in (before, after)]
    numbers = [head[2] for head in heads if head is not None]
    if len(set(numbers)) > 1:
        yield f"its own key becomes the one of number {numbers[1]}"
    old, new = ({entry.name: entry for entry in entries(text)} for text in (before, after))
    yield from (f"{name} joins" for name in new if name not in old)
    yield from (f"{name} leaves" for name in old if name not in new)
    for name, entry in new.items():
        was = old.get(name, entry)
        if was.key != entry.key:
            yield f"{name} has a new key"
        elif was != entry:
            yield f"{name} is reached otherwise"


def reshaped(text: str, running: Running) -> Iterator[str]:
    """How an interface differs from its file in what only making it anew can change."""
    if setting(text, "Address") not in running.addresses:
        yield f"it does not have the address {setting(text, 'Address')}"
    if str(running.mtu) != setting(text, "MTU"):
        yield f"its MTU is {running.mtu}"


def strayed(text: str, running: Running, former: Mapping[str, str]) -> Iterator[str]:
    """How a running interface differs from its file otherwise; a key on its way, with its `former` one, is none of it."""
    listed = entries(text)
    for entry in listed:
        before = running.peers.get(former.get(entry.name, ""))
        yield from _peer_strayed(entry, running.peers.get(entry.key), before)
    ours = {entry.key for entry in listed} | set(former.values())
    yield from (f"a peer {key[:8]}… is none of ours" for key in sorted(running.peers) if key not in ours)
    if str(running.port) != setting(text, "ListenPort") or hex(running.mark) != setting(text, "FwMark"):
        yield "its port or its mark is another"
    if missing := set(routes(text)) - set(running.routes):
        yield f"no route leads to {', '.join(sorted(missing))}"


def _peer_strayed(entry: Entry, there: Seen | None, before: Seen | None) -> Iterator[str]:
    if there is None:
        yield f"{entry.name} is not among its peers"
        return
    holder = there if before is None else before
    if set(holder.allowed) != set(entry.allowed):
        yield f"{entry.name} has other networks"
    if (holder.keepalive, there.shared) != (entry.keepalive, entry.shared):
        yield f"{entry.name} has other settings"
    if entry.endpoint is not None and there.endpoint is None:
        yield f"{entry.name} has no endpoint"


def same_keys(keys: Mapping[str, str]) -> Sequence[tuple[str, ...]]:
    """Names that have one key together, where it should be one each."""
    names: dict[str, list[str]] = {}
    for name, key in sorted(keys.items()):
        names.setdefault(key, []).append(name)
    return [tuple(found) for found in names.values() if len(found) > 1]
