"""Certificates as `nebula-cert` makes them, and what is none."""

import base64
from ipaddress import IPv4Interface, IPv4Network

import pytest

from stackctl.mesh.certificate import Certificate, UnfitError, certificates, pem, public_key
from tests.mesh.authorities import EDGE, EDGE_KEY, FLEET, NARROW, OTHER_CURVE


def test_a_hosts_certificate_says_what_nebula_cert_prints_of_it() -> None:
    assert certificates(EDGE) == (
        Certificate(
            name="edge",
            addresses=(IPv4Interface("10.77.0.11/24"),),
            subnets=(IPv4Network("172.30.1.0/24"), IPv4Network("172.30.2.0/24")),
            groups=("gateway", "trusted"),
            begins=1795524471,
            ends=4949124470,
            public_key="2b01f5ba812cb74ff67618d8135b370fab0867af433d8fb09ebcd8fb4bd3ef67",
            authority=False,
            issuer="3954074a8ee3282523aa79fd213c186df33b84b7d40102a91d90bcceacd114fd",
            fingerprint="f9add358c53f61cf865000c91ef54bfe3a40880ece00ca5d6281373580f2a556",
            curve=0,
        ),
    )


def test_an_authority_says_for_whom_it_signs_and_is_known_by_its_fingerprint() -> None:
    [found] = certificates(NARROW)

    assert found.authority
    assert found.fingerprint == certificates(EDGE)[0].issuer
    assert (found.addresses, found.subnets, found.groups) == (
        (IPv4Interface("10.77.0.0/16"),),
        (IPv4Network("172.30.0.0/16"),),
        ("gateway", "models", "trusted"),
    )
    assert (found.curve, certificates(OTHER_CURVE)[0].curve) == (0, 1)


def test_the_last_third_of_a_certificates_life_is_when_it_is_renewed() -> None:
    [found] = certificates(FLEET)

    assert found.renewal - found.begins == pytest.approx((found.ends - found.begins) * 2 / 3, abs=1)


def test_several_certificates_keep_their_order() -> None:
    assert [found.name for found in certificates(NARROW + FLEET)] == ["narrow", "fleet"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n    "])
def test_the_text_is_the_same_however_its_lines_were_written(end: str) -> None:
    assert pem(FLEET.replace("\n", end)) == FLEET


def test_a_public_key_is_read_from_the_file_that_keygen_makes() -> None:
    assert public_key(EDGE_KEY) == certificates(EDGE)[0].public_key
    assert public_key("") is None
    assert public_key(EDGE_KEY.replace("KwH1", "*w")) is None


def damaged(text: str, keep: int) -> str:
    """With only some bytes of what stands between its lines."""
    raw = base64.b64decode("".join(text.splitlines()[1:-1]))[:keep]
    return f"-----BEGIN NEBULA CERTIFICATE-----\n{base64.b64encode(raw).decode()}\n-----END NEBULA CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ca.crt", "holds no certificate of nebula's"),
        (EDGE_KEY, "holds no certificate of nebula's"),
        (FLEET.replace("CERTIFICATE", "CERTIFICATE V2"), "is of version 2"),
        (FLEET.replace("NEBULA CERTIFICATE", "NEBULA ED25519 PRIVATE KEY"), "holds a private key"),
        (FLEET.replace("CjcK", "Cjc"), "is damaged"),
        *((damaged(EDGE, keep), "is damaged") for keep in (1, 2, 20, 80, 140)),
    ],
)
def test_what_is_no_certificate_is_told_without_repeating_it(text: str, why: str) -> None:
    with pytest.raises(UnfitError, match=why) as error:
        certificates(text)

    assert error.value.__context__ is None or error.value.__suppress_context__
