"""Where model repositories are looked up."""

from stackctl.core.model import Model
from stackctl.schema.repository import Url
from stackctl.schema.secret import Secret


class Hub(Model):
    """The model hub, or a mirror of it."""

    endpoint: Url = "https://huggingface.co"
    """Set it where a mirror is asked instead."""
    token: Secret | None = None
    """Where the token for private and gated repositories is found; without one, `env:HF_TOKEN` if it is set."""
