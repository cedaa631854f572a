"""Amounts of data as a person reads them."""

_UNITS = ("B", "KB", "MB", "GB", "TB")


def sized(count: int) -> str:
    """`19.3 GB` for a number of bytes, in units of a thousand, as disks and model hubs count."""
    amount, unit = float(count), 0
    while amount >= 999.95 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit else f"{count} B"
