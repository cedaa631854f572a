"""Rules as a firewall's file keeps them, and whom they admit."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from stackctl.core.rule import EVERYBODY, Rule, Source, by_interface, marked, marks

MESH = Source("10.77.0.0/24", "mesh", "wg0")
OFFICE = Source("10.9.0.0/24", "")
SSH = Rule(22, "tcp", "management", (MESH, OFFICE), "ssh", "firewall.ssh")
GAME = Rule(4242, "udp", EVERYBODY, None, "a game", "firewall.open[0]")
NOBODY = Rule(80, "tcp", EVERYBODY, (), "a page", "x")
BY = Rule(80, "tcp", "by, x", (Source("10.0.0.1/32", "by", "by"), Source("10.0.0.2/32", "by")), "a page", "x")


def test_a_rule_is_a_line_that_a_person_reads_too() -> None:
    assert (
        marked(SSH)
        == "# rule 22/tcp | management | 10.77.0.0/24 mesh by wg0, 10.9.0.0/24 | ssh | firewall.ssh"
    )


@pytest.mark.parametrize("rule", [SSH, GAME, NOBODY, BY])
def test_a_line_is_read_back_as_the_rule_it_was(rule: Rule) -> None:
    assert marks(f"table x\n{marked(rule)}\n# something else\n") == (rule,)


@pytest.mark.parametrize(
    "line", ["# rule", "# rule 22/tcp", "# rule x/tcp | a |  | b | c", "# rule 1/sctp | a |  | b | c"]
)
def test_a_line_that_somebody_spoilt_is_left_out(line: str) -> None:
    assert marks(f"{line}\n{marked(GAME)}\n") == (GAME,)


@pytest.mark.parametrize(
    ("address", "interface", "admitted"),
    [
        ("10.77.0.9", "wg0", True),
        ("10.77.0.9", "eth0", False),
        ("10.77.0.9", None, False),
        ("10.9.0.9", "eth0", True),
        ("10.9.0.9", None, True),
        ("10.8.0.9", "wg0", False),
    ],
)
def test_an_address_is_let_in_by_the_interface_that_it_belongs_to(
    address: str, interface: str | None, admitted: bool
) -> None:
    assert SSH.admits(IPv4Address(address), interface) is admitted


def test_everybody_is_let_in_whatever_the_address() -> None:
    assert GAME.admits(None, None)
    assert not SSH.admits(None, "wg0")
    assert not NOBODY.admits(None, None)


def test_networks_within_others_are_not_listed_twice() -> None:
    inner = Source("10.9.0.128/25", "management")

    assert by_interface([inner, OFFICE, MESH]) == {
        None: (IPv4Network("10.9.0.0/24"),),
        "wg0": (IPv4Network("10.77.0.0/24"),),
    }
