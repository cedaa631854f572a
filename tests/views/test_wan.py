"""A host's uplinks as a person reads them, and as a machine does."""

import json
from typing import Any

import pytest

from stackctl.core.finding import Finding
from stackctl.doctor import uplinks
from stackctl.doctor.uplinks import Uplinks
from stackctl.views.wan import probe_text, span, uplinks_json, uplinks_text
from tests.doctor.agent import NOW, answer, uplink


def seen(*given: dict[str, Any], **more: Any) -> Uplinks:
    found = uplinks.read(answer(*given, **more))
    assert found is not None
    return found


def test_what_is_used_then_a_line_an_uplink() -> None:
    told = seen(
        uplink("fibre", "down", since=840, active=False, carrier=False),
        uplink("lte", active=True, loss=0.023),
        active=["lte"],
        switches=3,
        last_switch=NOW - 840,
    )

    assert (
        uplinks_text({"edge": told})
        == """\
edge  on lte; switched 3 times, 14 min ago
    fibre  down for 14 min, no carrier
  > lte    up for 2 h                     2% lost     25 ms"""
    )


@pytest.mark.parametrize(
    ("more", "head"),
    [
        ({}, "on fibre; never switched"),
        ({"switches": 1, "last_switch": NOW - 5}, "on fibre; switched once, 5 s ago"),
        (
            {"forced": "fibre", "forced_until": NOW + 480},
            "on fibre; never switched; held on fibre for 8 min more",
        ),
        ({"forced": "fibre"}, "on fibre; never switched; held on fibre until released"),
        ({"paused": True}, "on fibre; never switched; paused: it switches no more"),
        ({"active": []}, "on none of its uplinks; never switched"),
        ({"active": ["fibre", "lte"]}, "on fibre and lte; never switched"),
        ({"running": False}, "on fibre; never switched; the agent does not run"),
    ],
)
def test_what_an_operator_wants_of_it_is_told_beside_it(more: dict[str, Any], head: str) -> None:
    assert uplinks_text({"edge": seen(**more)}).splitlines()[0] == f"edge  {head}"


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (uplink("lte", "init", loss=None, rtt=None), "    lte  not probed yet"),
        (
            uplink("lte", "recovering", usable_at=NOW + 42),
            "    lte  recovering, used again in 42 s    0% lost     25 ms",
        ),
        (
            uplink("lte", "recovering", usable_at=NOW - 1),
            "    lte  recovering, used again soon    0% lost     25 ms",
        ),
        (
            uplink("lte", "recovering", since=60, active=True, usable_at=NOW + 42, rtt=0.0004),
            "  > lte  recovering for 60 s    0% lost    0.4 ms",
        ),
        (uplink("lte", "degraded", since=60), "    lte  degraded for 60 s    0% lost     25 ms"),
    ],
)
def test_each_phase_says_since_when_or_until_when(state: dict[str, Any], line: str) -> None:
    assert uplinks_text({"edge": seen(state)}).splitlines()[1] == line


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-3, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (172800, "2 d")],
)
def test_a_span_of_time_has_the_unit_that_suits_it(seconds: float, told: str) -> None:
    assert span(seconds) == told


def test_a_machine_gets_values_and_findings() -> None:
    found = json.loads(uplinks_json({"edge": seen()}, [Finding("gpu1", "gave no answer")]))

    assert found["hosts"]["edge"]["active"] == ["fibre"]
    assert found["findings"][0]["where"] == "gpu1"


def test_a_test_tells_what_each_target_answered() -> None:
    targets = [{"target": "icmp 1.1.1.1", "rtt": 0.0123}, {"target": "tcp 192.0.2.1:443", "rtt": None}]

    assert (
        probe_text("edge", {"uplink": "lte", "good": False, "targets": targets})
        == """\
edge  lte does not work: too few answer
  icmp 1.1.1.1       12 ms
  tcp 192.0.2.1:443  no answer"""
    )
