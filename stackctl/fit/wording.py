"""The arithmetic in a few words, as it stands under an error."""

from stackctl.fit.need import GIB, Need


def gib(size: int) -> str:
    """`18.1 GiB`; what is small in MiB."""
    return f"{size / GIB:.1f} GiB" if size >= GIB // 10 else f"{size / 2**20:.1f} MiB"


def sum_of(found: Need, requests: int | None = None, reserve: int | None = None) -> str:
    """`weights 18.1 GiB + KV cache 9.0 GiB (64 x 2048 tokens) + reserve 2.5 GiB = 29.6 GiB`, on each device."""
    wanted = requests or found.sizing.requests
    parts = [f"weights {'unknown' if found.weights is None else gib(found.weights)}"]
    cache = found.cache(wanted)
    if found.sizing.cache is not None:
        parts.append(f"KV cache {gib(found.sizing.cache)} (`kv_cache_memory`)")
    elif cache is None:
        parts.append("KV cache unknown")
    elif cache:
        parts.append(f"KV cache {gib(cache)} ({wanted} x {found.context} tokens)")
    kept = found.reserve if reserve is None else reserve
    if kept:
        parts.append(f"reserve {gib(kept)}")
    return f"{' + '.join(parts)} = {gib(found.total(wanted, kept))}"


def arithmetic(found: Need) -> str:
    """Three or four lines: what one replica needs on each device, what is there, and what that holds."""
    each = " on each device" if found.sizing.width > 1 else ""
    of = "" if found.budget is None else f" of {gib(found.budget)}"
    lines = [f"{sum_of(found)}{of}{each}"]
    if found.sizing.cache is not None and (one := found.cache(1)):
        lines.append(f"one request of {found.context} tokens takes {gib(one)} of the KV cache")
    if found.held is not None:
        lines.append(f"requests of {found.context} tokens at a time: {found.held}")
    if not found.exact:
        lines.append("the KV cache is an estimate: this family keeps more or less than plain attention")
    return "\n".join(lines)
