"""What an image was compiled for, and whether a GPU runs that."""

import re
from collections.abc import Iterable
from typing import Literal

from stackctl.nvidia.version import Version

Way = Literal["code", "ptx", "none"]


def way(architectures: Iterable[str], capability: Version) -> Way:
    """How a GPU runs what was compiled for `sm_80`, `sm_90a`, `sm_120+PTX`.

    `code`: as it is; `ptx`: compiled by the driver at the start, which has to be as new as the image's CUDA; `none`:
    not at all.
    """
    ways = {_way(text, capability) for text in architectures}
    return "code" if "code" in ways else "ptx" if "ptx" in ways else "none"


def _way(text: str, capability: Version) -> Way:
    number, letter, ptx = _parts(text)
    compiled = (int(number[:-1]), int(number[-1]))
    if letter == "a":  # uses what no later GPU promises to have
        return "code" if compiled == capability else "none"
    if compiled[0] == capability[0] and compiled <= capability:
        return "code"
    # A family's own features (`f`) are not those of the next family, in PTX either.
    return "ptx" if ptx and not letter and compiled <= capability else "none"


def _parts(text: str) -> tuple[str, str, bool]:
    found = re.fullmatch(r"sm_([0-9]{2,3})([af]?)(\+PTX)?", text)
    if found is None:
        raise ValueError(text)
    return found[1], found[2], found[3] is not None
