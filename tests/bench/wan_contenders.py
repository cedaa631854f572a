"""Those that are to keep a host on an uplink that works: our agent, and what else Debian packages for it."""

import json
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stackctl.agents.wan import Port, State, Way, begin, configured, routes, rules
from tests.agents.wan_rig import GATEWAY, HOME, TARGETS, Rig, until
from tests.agents.wan_running import BALANCED, FAST, NAMES, agent, configuration

HOLD = 5.0
"""Seconds that a recovered uplink has to stay well, so that the way back need not be waited for long."""


@dataclass(frozen=True)
class Contender:
    """One way to do it."""

    name: str
    start: Callable[[Rig, float], None]
    """Has the host use the first uplink, and watch both; its hold in seconds where it has such a thing."""


def contenders() -> list[Contender]:
    """All that are there: keepalived and foolsm, which Debian 12 calls lsm, where they are installed."""
    found = [
        Contender("stackctl balanced", lambda made, hold: _agent(made, BALANCED, hold)),
        Contender("stackctl fast", lambda made, hold: _agent(made, FAST, hold)),
    ]
    if shutil.which("keepalived") and shutil.which("fping"):
        found.append(Contender("keepalived", _keepalived))
    if program := shutil.which("foolsm") or shutil.which("lsm"):
        found.append(Contender(Path(program).name, lambda made, _: _foolsm(made, program)))
    return [*found, Contender("two metric routes", lambda _made, _hold: None)]


def _agent(made: Rig, numbers: dict[str, float], hold: float) -> None:
    running = agent(made, configuration(numbers | {"hold": hold}))
    until(lambda: set(running.phases.values()) == {"up"})


def _tables(made: Rig) -> None:
    """The same rules and tables as ours, for those that need them laid out."""
    config = configured(json.dumps(configuration(BALANCED)))
    ports = {
        name: Port(carrier=True, ways={4: Way(HOME[number], GATEWAY[number])})
        for number, name in NAMES.items()
    }
    state: State = begin(config, ["fibre"], None, 0.0)
    lines = [f"rule add {rule}" for rule in rules(config, state, ports, {}, 4)]
    lines += [f"route replace {route}" for route in routes(config, ports, ["fibre"], 4)]
    made.run("host", "ip", "-batch", "-", text="\n".join(lines) + "\n")


def _keepalived(made: Rig, _hold: float) -> None:
    """A route in the active table for each uplink; a script that pings takes the better one out."""
    _tables(made)
    made.run("host", "ip", "route", "flush", "table", "200")
    parts = ["global_defs {\n  enable_script_security\n  script_user root\n}\n"]
    for number, name in NAMES.items():
        probe = made.folder / f"probe-{name}"
        targets = " ".join(TARGETS)
        probe.write_text(
            f"#!/bin/sh\nexec fping -q -r0 -t800 -x2 -I wan{number} -S {HOME[number]} {targets}\n"
        )
        probe.chmod(0o755)
        parts.append(
            _INSTANCE.format(
                name=name, probe=probe, number=number, gateway=GATEWAY[number], home=HOME[number]
            )
        )
    config = made.folder / "keepalived.conf"
    config.write_text("".join(parts))
    pids = ("-p", made.folder / "keepalived.pid", "-r", made.folder / "vrrp.pid")
    made.start("host", "keepalived", "-P", "-n", "-l", "-f", config, *pids)
    until(lambda: made.run("host", "ip", "route", "show", "table", "all").count("table 200") == 2, 30)


_INSTANCE = """
vrrp_script {name} {{
  script "{probe}"
  interval 1
  timeout 2
  fall 2
  rise 5
}}
vrrp_instance {name} {{
  state MASTER
  interface box
  virtual_router_id {number}
  priority 200
  advert_int 1
  track_interface {{
    wan{number}
  }}
  track_script {{
    {name}
  }}
  virtual_routes {{
    0.0.0.0/0 via {gateway} dev wan{number} src {home} table 200 metric {number}0
  }}
}}
"""


def _foolsm(made: Rig, program: str) -> None:
    """Groups of three targets; a script replaces the route as the first uplink's group goes down and up."""
    _tables(made)
    event = made.folder / "event"
    replace = "exec ip route replace default table 200 proto 201"
    cases = {
        state: f"{replace} via {GATEWAY[n]} dev wan{n} src {HOME[n]}" for state, n in (("up", 1), ("down", 2))
    }
    event.write_text(
        textwrap.dedent(f"""\
        #!/bin/sh
        case $1 in
          up) {cases["up"]} ;;
          down) {cases["down"]} ;;
        esac
        """)
    )
    event.chmod(0o755)
    parts = [_DEFAULTS]
    parts += [_CONNECTION.format(number=i, address=each, home=HOME[1]) for i, each in enumerate(TARGETS)]
    members = "".join(f"  member-connection=target-{i}\n" for i in range(len(TARGETS)))
    parts.append(f"group {{\n  name=fibre\n  eventscript={event}\n  logic=0\n{members}}}\n")
    config = made.folder / "lsm.conf"
    config.write_text("".join(parts))
    made.start("host", program, "-f", "-c", config, "-p", made.folder / "lsm.pid")


_DEFAULTS = """
debug=8
defaults {
  name=defaults
  checkip=127.0.0.1
  eventscript=
  max_packet_loss=15
  max_successive_pkts_lost=4
  min_packet_loss=5
  min_successive_pkts_rcvd=10
  interval_ms=500
  timeout_ms=1000
  warn_email=
  check_arp=0
  ttl=0
  status=1
}
"""
_CONNECTION = """
connection {{
  name=target-{number}
  checkip={address}
  device=wan1
  sourceip={home}
}}
"""
