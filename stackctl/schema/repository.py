"""A package repository of a vendor, or a site's own copy of it."""

from typing import Annotated

from stackctl.core.form import Form
from stackctl.core.model import Model

Url = Annotated[
    str, Form(r"https?://[^\s'\"\\]+[^\s'\"\\/]", "`http://` or `https://` and an address, no `/` at its end")
]
Fingerprint = Annotated[
    str, Form(r"[0-9A-F]{40}", "40 upper-case hexadecimal digits, as `gpg --show-keys` prints them")
]


class Repository(Model):
    """A copy of a vendor's repository for hosts that do not reach the vendor."""

    url: Url
    """Directory that holds `Packages` and `InRelease`."""
    key: Url | None = None
    """Where the signing key is, where it is not beside `Packages` under the vendor's name for it."""
    fingerprint: Fingerprint | None = None
    """The one key that is trusted, where the copy is signed with a key of your own. The vendors' are known."""
