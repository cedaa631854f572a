"""An image as `images.lock` knows it: which it is exactly, and what it demands of a host."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

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


def _spelt_out(value: Any) -> Any:
    return value if isinstance(value, dict | LockedImage) else {"digest": value}


Locked = Annotated[LockedImage, BeforeValidator(_spelt_out)]
"""An entry of the lock; a digest alone is its short form."""


@dataclass(frozen=True)
class Demand:
    """What a model's image demands of a host; what nobody knows is None or empty."""

    cuda: str | None
    requires: str | None
    architectures: tuple[str, ...]


def demand(server: Server, locked: LockedImage | None) -> Demand:
    """The catalogue's own word, and the lock's where it has none.

    Variables of the container take the place of the image's own, as they do on the host.
    """
    written = server.env.get(_REQUIRE)
    asks = written if isinstance(written, str) else locked and locked.requires
    return Demand(
        cuda=server.cuda or (locked.cuda if locked else None),
        requires=None if server.env.get(_DISABLE) in ("1", "true") else asks or None,
        architectures=server.architectures or (locked.architectures if locked else ()),
    )
