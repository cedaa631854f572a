import pytest

from stackctl.core.finding import FindingsError
from stackctl.lab.mirror import parse

LISTED = """\
http://mirror.example/debian/
http://mirror.example/debian/
https://security.example/debian-security/
https://other.example/node_20.x/
"""


def test_the_lab_uses_this_machines_own_mirrors() -> None:
    assert parse(LISTED).sources("trixie") == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian trixie-updates main",
        "deb https://security.example/debian-security trixie-security main",
    ]


def test_a_host_asks_the_proxy_in_plain_http_and_the_proxy_asks_as_this_machine_does() -> None:
    mirror = parse(LISTED)

    assert (
        mirror.plain_sources("trixie")[2]
        == "deb http://security.example/debian-security trixie-security main"
    )
    assert dict(mirror.schemes)["security.example"] == "https"


def test_a_machine_without_a_debian_archive_is_told_so() -> None:
    with pytest.raises(FindingsError, match="knows no Debian archive"):
        parse("http://archive.example/ubuntu/\n")
