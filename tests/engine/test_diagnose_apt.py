"""What apt says of signatures and lists, in words with a way out."""

import pytest

from stackctl.engine.batch import Answer, Command
from stackctl.engine.diagnose import failure

SQV = """Err:1 http://mirror.example.org/cuda  InRelease
  Sub-process /usr/bin/sqv returned an error code (1), error message is: Signing key on EB693B3035CD5710E231E123A4B469963BF863CC is not bound:
             No binding signature at time 2026-11-20T10:00:00Z
    because: Policy rejected non-revocation signature (PositiveCertification) requiring second pre-image resistance
    because: SHA1 is not considered secure since 2026-02-01T00:00:00Z
E: The repository 'http://mirror.example.org/cuda  InRelease' is not signed.
"""
CONFLICT = (
    "E: Conflicting values set for option Signed-By regarding source https://nvidia.github.io/libnvidia-container/stable/deb/amd64/ /: "
    "/usr/share/keyrings/a.gpg != /usr/share/keyrings/b.gpg\nE: The list of sources could not be read.\n"
)
ANOTHER = "W: GPG error: http://mirror.example.org/cuda  InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY A4B469963BF863CC\n"
SQV_ANOTHER = "  Sub-process /usr/bin/sqv returned an error code (1), error message is: Missing key EB693B3035CD5710E231E123A4B469963BF863CC, which is needed to verify signature.\n"


@pytest.mark.parametrize(
    ("output", "what", "hint"),
    [
        (
            SQV,
            "apt on this host refuses signatures of key EB693B3035CD5710E231E123A4B469963BF863CC, which vouches for itself with SHA-1",
            "use a repository that is signed with a newer key",
        ),
        (
            CONFLICT,
            "apt has https://nvidia.github.io/libnvidia-container/stable/deb/amd64/ in two lists that trust different keys",
            "remove the older file below /etc/apt/sources.list.d on the host, or write `driver: {leftovers: remove}`",
        ),
        (
            ANOTHER,
            "the repository is signed with another key than the one that is trusted for it",
            "write the `key` and `fingerprint` of the key that it is signed with",
        ),
        (
            SQV_ANOTHER,
            "the repository is signed with another key than the one that is trusted for it",
            "write the `key` and `fingerprint` of the key that it is signed with",
        ),
    ],
)
def test_what_apt_says_of_keys_is_told_with_a_way_out(output: str, what: str, hint: str) -> None:
    found = failure("gpu1", Answer(100, "", output), Command("apt-get update", 60), None)

    assert found.what == what
    assert (found.hint or "").startswith(hint)
