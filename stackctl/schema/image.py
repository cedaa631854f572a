"""An image as `images.lock` knows it: which it is exactly, and what it demands of a host."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Tag

from stackctl.core.form import Architecture, CudaVersion, Form
from stackctl.core.model import Model
from stackctl.nvidia import requirement
from stackctl.servers.base import Server, once_each

Digest = Annotated[str, Form(r"sha256:[0-9a-f]{64}", "`sha256:` and 64 hexadecimal digits")]
Requirement = Annotated[
    str, Form(requirement.PATTERN, "conditions on cuda, driver, brand and arch, such as `cuda>=12.8`")
]
_REQUIRE = "NVIDIA_REQUIRE_CUDA"
_DISABLE = "NVIDIA_DISABLE_REQUIRE"


class LockedImage(Model):
    """What an image is, whatever becomes of its tag."""

    digest: Digest
    """Digest of the image or of its index."""
    cuda: CudaVersion | None = None
    """CUDA that it was built with."""
    requires: Requirement | None = None
    """Its NVIDIA_REQUIRE_CUDA: alternatives with spaces between them, all conditions of one with commas."""
    architectures: Annotated[tuple[Architecture, ...], AfterValidator(once_each)] = ()
    """What it was compiled for; empty where nobody knows."""


def _kind_of_entry(value: Any) -> str:
    return "<image>" if isinstance(value, dict | LockedImage) else "<digest>"


Locked = Annotated[
    Annotated[Digest, Tag("<digest>")] | Annotated[LockedImage, Tag("<image>")],
    Discriminator(_kind_of_entry),
]
"""An entry of the lock: a digest alone, or what else is known of the image as well."""


def digest(entry: Locked) -> str:
    """The digest of an entry in either form."""
    return entry.digest if isinstance(entry, LockedImage) else entry


@dataclass(frozen=True)
class Demand:
    """What a model's image demands of a host; what nobody knows is None or empty."""

    cuda: str | None
    requires: str | None
    architectures: tuple[str, ...]


def demand(server: Server, entry: Locked | None) -> Demand:
    """The catalogue's own word, and the lock's where it has none.

    Variables of the container take the place of the image's own, as they do on the host.
    """
    locked = entry if isinstance(entry, LockedImage) else None
    written = server.env.get(_REQUIRE)
    asks = _judged(written) if isinstance(written, str) else locked and locked.requires
    return Demand(
        cuda=server.cuda or (locked.cuda if locked else None),
        requires=None if server.env.get(_DISABLE) in ("1", "true") else asks or None,
        architectures=server.architectures or (locked.architectures if locked else ()),
    )


def _judged(text: str) -> str | None:
    """A variable's text if it is a demand that can be judged; the container's environment may be anything."""
    return text if re.fullmatch(requirement.PATTERN, text) else None
