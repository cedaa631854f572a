"""What a host's agent says, and what of it somebody should look at."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from stackctl.core.finding import Finding
from stackctl.doctor import uplinks
from stackctl.doctor.uplinks import Uplinks
from tests.doctor.agent import answer, uplink


def told(*given: dict[str, Any], **more: Any) -> Uplinks:
    seen = uplinks.read(answer(*given, **more))
    assert seen is not None
    return seen


def lines(findings: list[Finding]) -> list[str]:
    return [f"{finding.where} | {finding.what} | {finding.hint}" for finding in findings]


def troubles(*given: dict[str, Any], **more: Any) -> list[str]:
    return lines(list(uplinks.troubles("edge", told(*given, **more))))


def test_two_uplinks_that_work_trouble_nobody() -> None:
    assert troubles() == []


@pytest.mark.parametrize(
    ("bad", "trouble"),
    [
        (
            {"phase": "down"},
            "`lte` is down | look at cable, router and provider; it is used again by itself once it is well",
        ),
        (
            {"phase": "down", "carrier": False},
            (
                "`lte` is down: wan2 has no carrier"
                " | look at cable, router and provider; it is used again by itself once it is well"
            ),
        ),
        (
            {"phase": "degraded", "loss": 0.31, "rtt": 0.04},
            "`lte` loses 31% of packets and takes 40 ms | ask its provider, or look at the line",
        ),
        (
            {"phase": "degraded", "loss": None, "rtt": None},
            "`lte` is degraded | ask its provider, or look at the line",
        ),
    ],
)
def test_an_uplink_that_is_bad_is_told(bad: dict[str, Any], trouble: str) -> None:
    assert troubles(uplink("fibre"), uplink("lte", **bad)) == [f"edge · wan | {trouble}"]


def test_one_that_recovers_or_was_not_probed_yet_is_no_trouble() -> None:
    assert troubles(uplink("fibre", "init"), uplink("lte", "recovering")) == []


def test_when_all_look_bad_the_targets_are_suspected_first() -> None:
    first, *_ = troubles(uplink("fibre", "down"), uplink("lte", "down"), frozen=True)

    assert first == (
        "edge · wan | all uplinks look bad, so that the agent moves nothing | the host or the targets may be"
        " at fault rather than the uplinks: `stackctl wan test edge fibre` tells more"
    )


def test_of_an_agent_that_does_not_run_nothing_else_is_believed() -> None:
    assert troubles(uplink("fibre", "down"), running=False) == [
        (
            "edge · wan | the agent does not run, so that nobody leaves an uplink that fails"
            " | read `journalctl -u stackctl-wan.service` on the host; its routes stay as it left them"
        )
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"uplinks": [{}]}', "null"])
def test_an_answer_that_is_none_is_not_understood(text: str) -> None:
    assert uplinks.read(text) is None


@pytest.mark.parametrize(
    ("status", "said", "line"),
    [
        (66, "", "there is no agent on the host yet | run `stackctl apply prod --limit edge`"),
        (
            1,
            "`lte` is down\n",
            "`lte` is down | `stackctl wan status edge`, and `systemctl status stackctl-wan.service` there, tell more",
        ),
        (
            2,
            "`x` is not an uplink; there are fibre, lte\n",
            (
                "`x` is not an uplink; there are fibre, lte"
                " | run `stackctl apply prod --limit edge`, which tells the agent what is written now"
            ),
        ),
        (
            124,
            "",
            (
                "the agent gave no answer, exit status 124 | `stackctl wan status edge`,"
                " and `systemctl status stackctl-wan.service` there, tell more"
            ),
        ),
    ],
)
def test_why_an_agent_did_not_do_it_is_told_with_a_way_out(status: int, said: str, line: str) -> None:
    assert lines([uplinks.unanswered("edge", "prod", status, said)]) == [f"edge · wan | {line}"]


def test_an_order_to_a_host_without_an_agent_says_so(tmp_path: Path) -> None:
    script = uplinks.order("switch", "lte; reboot", "--for", "600").replace("/usr/lib", str(tmp_path))

    done = subprocess.run(["sh", "-c", script], capture_output=True, check=False)

    assert done.returncode == uplinks.ABSENT


def test_an_order_reaches_the_agent_word_by_word(tmp_path: Path) -> None:
    agent = tmp_path / "stackctl/wan.py"
    agent.parent.mkdir()
    agent.write_text("import sys; print(sys.argv[1:])")
    config = tmp_path / "wan.json"
    config.write_text("{}")
    script = uplinks.order("switch", "lte; reboot", "--for", "600")
    script = script.replace("/usr/lib", str(tmp_path)).replace("/etc/stackctl", str(tmp_path))

    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == f"['switch', 'lte; reboot', '--for', '600', '{config}']\n"
