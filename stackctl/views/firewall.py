"""Who may reach what of a host, and why, as people read it, and as machines do."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from stackctl.capabilities.firewall import FirewallSpec
from stackctl.core.rule import EVERYBODY, Rule, Source
from stackctl.views.terminal import plain

_MOST = 12
"""Sources of one port; a fleet of hundreds has as many, and `--json` has them all."""

_Row = tuple[str, str, str, str]
_HEAD: _Row = ("port", "from", "by", "for")


def firewall_text(host: str, spec: FirewallSpec | None) -> str:
    """A table of what is open, to whom and what for; then what is closed."""
    if spec is None:
        return f"{host} has no `firewall` in the inventory: nobody looks after what it lets in."
    rows = [_HEAD, *(row for rule in spec.rules for row in _rows(rule))]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join([*map(str.ljust, row[:3], widths), row[3]]).rstrip() for row in rows]
    return plain("\n".join([*lines, "", *_closed(host, spec)]))


def firewall_json(host: str, spec: FirewallSpec | None) -> str:
    """The rules' values, as they are; null where nobody looks after what the host lets in."""
    found = None if spec is None else asdict(spec)
    return json.dumps({"format": 1, "host": host, "firewall": found}, indent=2)


def _rows(rule: Rule) -> Iterator[_Row]:
    why = f"{rule.reason} ({rule.declared})"
    sources = rule.sources or ()
    if not sources:
        yield rule.name, EVERYBODY if rule.everybody else "nobody", "any", why
    for index, source in enumerate(sources[:_MOST]):
        first = index == 0
        yield rule.name if first else "", _named(source), source.interface or "any", why if first else ""
    more = len(sources) - _MOST
    if more > 0:
        yield "", f"and {more} more", "", ""


def _named(source: Source) -> str:
    return f"{source.name} {source.network.removesuffix('/32')}".lstrip()


def _closed(host: str, spec: FirewallSpec) -> Iterator[str]:
    yield f"Closed: every other port of {host} and of its containers, to everybody."
    if spec.outside:
        yield f"Outside, dropped before Docker sees it: {_interfaces(spec)}."
    else:
        yield "Outside: no interface is known."
    yield "Containers reach out; to ports of the host they are as all others are."
    yield f"Pings are {'answered, 50 a second at most' if spec.ping else 'not answered'}."


def _interfaces(spec: FirewallSpec) -> str:
    named: Sequence[str] = [
        f"{interface} ({uplink})" if uplink else interface for interface, uplink in spec.outside.items()
    ]
    return ", ".join(named)
