"""What a change of a firewall opens and closes, in words."""

from collections.abc import Iterator, Sequence

from stackctl.capabilities.firewall import FirewallSpec
from stackctl.core.rule import Rule, Source
from stackctl.plan.difference import Difference, settings

_MOST = 8
"""Addresses of one port that are named; a fleet of hundreds has as many."""


def ports(before: FirewallSpec | None, after: FirewallSpec) -> Iterator[Difference]:
    """Ports that open and close, for whom and what for, and what else differs of two firewalls."""
    old = before.rules if before else ()
    opening, closing = tuple(opened(old, after.rules)), tuple(opened(after.rules, old))
    if opening:
        yield Difference(
            "add", "ports", items=opening, note="open" if before else "stay open, all others close"
        )
    if closing:
        yield Difference("remove", "ports", items=closing, note="close")
    if before is not None:
        yield from settings(before, after, leave_out={"rules", "place", "ssh", "ssh_address"})


def told(before: Sequence[Rule] | None, after: Sequence[Rule]) -> str:
    """`opens 8000/tcp to gateways (replica of chat); closes 9000/tcp`; None: there was no firewall."""
    if before is None:
        left = ", ".join(opened((), after))
        return f"closes every port but {left}" if left else "closes every port"
    parts = []
    for verb, found in (("opens", opened(before, after)), ("closes", opened(after, before))):
        items = tuple(found)
        if items:
            parts.append(f"{verb} {', '.join(items)}")
    return "; ".join(parts)


def opened(before: Sequence[Rule], after: Sequence[Rule]) -> Iterator[str]:
    """What `after` lets in and `before` does not; the other way round it is what closes."""
    for rule in after:
        earlier = [other for other in before if (other.port, other.protocol) == (rule.port, rule.protocol)]
        if any(other.everybody for other in earlier) or not (rule.everybody or rule.sources):
            continue
        had = {(source.network, source.interface) for other in earlier for source in other.sources or ()}
        new = [source for source in rule.sources or () if (source.network, source.interface) not in had]
        if rule.everybody or not had:
            yield f"{rule.name} to {rule.audience} ({rule.reason})"
        elif new:
            yield f"{rule.name} to {_named(new)} ({rule.reason})"


def _named(sources: Sequence[Source]) -> str:
    names = [f"{source.name} {source.network.removesuffix('/32')}".lstrip() for source in sources]
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {more} more" if more > 0 else "")
