"""How `firewall show` reads; 80 columns are enough for it."""

import json

from stackctl.capabilities.firewall import FirewallSpec
from stackctl.core.rule import EVERYBODY, Rule, Source
from stackctl.views.firewall import firewall_json, firewall_text

OPERATORS = (Source("10.77.0.0/24", "mesh", "wg0"), Source("10.9.0.0/24", "management"))
EDGES = tuple(Source(f"10.77.0.{number}/32", f"edge{number}", "wg0") for number in range(1, 15))
SPEC = FirewallSpec(
    rules=(
        Rule(22, "tcp", "management", OPERATORS, "ssh", "firewall.ssh"),
        Rule(4242, "udp", EVERYBODY, None, "a game", "firewall.open[0]"),
        Rule(8000, "tcp", "gateways", EDGES, "replica of chat", "serving"),
        Rule(8001, "tcp", "gateways", (), "replica of speak", "serving"),
    ),
    outside={"wan1": "fibre", "wan2": ""},
    mesh="wg0",
    passes=(),
    hub=False,
    ping=True,
    ssh="management",
    ssh_address="10.77.0.12",
    place="inventory/prod.yaml `hosts.gpu1.firewall`",
)


def test_who_may_reach_what_is_a_table_and_the_rest_is_closed() -> None:
    shown = firewall_text("gpu1", SPEC)

    assert shown == (
        "port      from                    by   for\n"
        "22/tcp    mesh 10.77.0.0/24       wg0  ssh (firewall.ssh)\n"
        "          management 10.9.0.0/24  any\n"
        "4242/udp  everybody               any  a game (firewall.open[0])\n"
        "8000/tcp  edge1 10.77.0.1         wg0  replica of chat (serving)\n"
        + "".join(f"          {f'edge{number} 10.77.0.{number}':<22}  wg0\n" for number in range(2, 13))
        + "          and 2 more\n"
        "8001/tcp  nobody                  any  replica of speak (serving)\n"
        "\n"
        "Closed: every other port of gpu1 and of its containers, to everybody.\n"
        "Outside, dropped before Docker sees it: wan1 (fibre), wan2.\n"
        "Containers reach out; to ports of the host they are as all others are.\n"
        "Pings are answered, 50 a second at most."
    )
    assert max(map(len, shown.splitlines())) <= 80


def test_a_host_without_a_firewall_is_said_to_have_none() -> None:
    assert firewall_text("gpu1", None) == (
        "gpu1 has no `firewall` in the inventory: nobody looks after what it lets in."
    )
    assert json.loads(firewall_json("gpu1", None)) == {"format": 1, "host": "gpu1", "firewall": None}


def test_machines_get_every_source() -> None:
    found = json.loads(firewall_json("gpu1", SPEC))

    assert len(found["firewall"]["rules"][2]["sources"]) == 14
