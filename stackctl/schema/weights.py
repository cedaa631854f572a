"""Where hosts get the weights of model repositories from."""

from typing import Annotated

from pydantic import AfterValidator, Field

from stackctl.core.form import AbsolutePath
from stackctl.core.model import Model
from stackctl.schema.repository import Url
from stackctl.schema.secret import Secret
from stackctl.servers.in_clear import holds_secret, secret_in_clear


def _without_secret(url: str) -> str:
    if holds_secret(url):
        raise secret_in_clear(instead="a token by reference, in `token` or `mirror_token`")
    return url


HUB = "https://huggingface.co"
"""The model hub."""
Base = Annotated[Url, AfterValidator(_without_secret)]


class Weights(Model):
    """Sources of the weights that `weights.lock` pins, the same for all hosts.

    Each file is asked of other hosts first, then of `local`, `mirror` and `endpoint`, until one has what is locked.
    """

    endpoint: Base | None = HUB
    """The model hub, which `stackctl lock` asks too; `null` for hosts that are not to reach it."""
    token: Secret | None = None
    """Access token for repositories that are not open to all; only the downloader has it, for the hub alone.

    `stackctl lock` takes `env:HF_TOKEN` where none is written and that is set."""
    mirror: Base | None = None
    """A copy of the hub on your own network, with the hub's paths: `/OWNER/NAME/resolve/COMMIT/FILE`."""
    mirror_token: Secret | None = None
    """Access token of the mirror, where it asks for one."""
    local: AbsolutePath | None = None
    """A directory on every host, such as a mounted share, with the files below `OWNER/NAME/COMMIT` or `OWNER/NAME`,
    or as the hub's own tools keep them."""
    peers: bool = True
    """Whether hosts get weights from each other; those with the role `models` then serve theirs to the fleet."""
    port: Annotated[int, Field(ge=1024, le=65535)] = 8409
    """Port at which a host serves its weights to the other hosts, on the address that they reach it at."""
