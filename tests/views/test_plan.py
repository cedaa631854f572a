"""How plans and outcomes read."""

import json

from stackctl.core.finding import Finding
from stackctl.plan.change import Change, FileChange, HostOutcome, HostPlan, Outcome, Plan
from stackctl.views.plan import outcome_json, outcome_text, plan_json, plan_text

DIFF = "--- /etc/app.conf (host)\n+++ /etc/app.conf (inventory)\n@@ -1 +1 @@\n-port 80\n+port 81"
CONF = Change(
    "gateway",
    "write the configuration",
    "change",
    "lines: 1 added, 1 removed",
    (FileChange("/etc/app.conf", "change", "lines: 1 added, 1 removed", DIFF),),
)
RELOAD = Change("gateway", "run the gateway", "change", "reload app, its files change")
WAIT = Change("serving", "wait for chat", "run", "wait until chat answers at http://10.0.0.2:8000/health")
UNREACHED = Finding("gpu2", "10.0.0.3 port 22 cannot be reached: connection refused", "check that it is up")

PLAN = Plan(
    "prod",
    (
        HostPlan("edge", (CONF, RELOAD)),
        HostPlan("gpu1", (WAIT,)),
        HostPlan("gpu2", (), (UNREACHED,)),
        HostPlan("gpu3"),
    ),
)


def test_a_plan_reads_host_by_host_with_reasons_diffs_and_totals_last() -> None:
    assert plan_text(PLAN) == (
        "edge\n"
        "  ~ gateway  write the configuration  lines: 1 added, 1 removed\n"
        "      ~ /etc/app.conf  lines: 1 added, 1 removed\n"
        "        @@ -1 +1 @@\n"
        "        -port 80\n"
        "        +port 81\n"
        "  ~ gateway  run the gateway          reload app, its files change\n"
        "gpu1\n"
        "  > serving  wait for chat            wait until chat answers at http://10.0.0.2:8000/health\n"
        "gpu2  cannot be planned, see below\n"
        "gpu3  up to date\n"
        "Plan: 0 to add, 2 to change, 0 to remove, 1 to run on 2 of 4 hosts; 1 could not be planned."
    )


def test_a_plan_with_nothing_to_do_says_so_in_two_lines() -> None:
    plan = Plan("prod", (HostPlan("edge"), HostPlan("gpu1")))

    assert plan_text(plan) == "edge, gpu1  up to date\nNothing to do on 2 hosts."


def test_a_long_new_file_is_folded() -> None:
    body = "\n".join(f"+line {number}" for number in range(40))
    file = FileChange("/etc/new", "add", "new", f"--- a\n+++ b\n@@ -0,0 +1,40 @@\n{body}")
    text = plan_text(Plan("prod", (HostPlan("edge", (Change("system", "write", "add", "new", (file,)),)),)))

    assert "+line 10\n        … 29 more lines; `stackctl render` has them\n" in text


def test_json_has_every_value_and_reads_back() -> None:
    values = json.loads(plan_json(PLAN))

    assert values["format"] == 1
    assert values["hosts"][0]["changes"][0]["files"][0]["diff"] == DIFF
    assert values["hosts"][2]["findings"][0]["where"] == "gpu2"


def test_an_outcome_tells_what_was_done_what_failed_and_what_did_not_converge() -> None:
    outcome = Outcome(
        "prod",
        (
            HostOutcome("edge", (CONF, RELOAD)),
            HostOutcome("gpu1", (WAIT,), left=(WAIT,)),
            HostOutcome("gpu2", (), (UNREACHED,)),
            HostOutcome("gpu3"),
        ),
    )

    assert outcome_text(outcome) == (
        "edge  done, 2 changes\n"
        "gpu1  did not converge: after 1 change this is still to do\n"
        "  > serving · wait for chat: wait until chat answers at http://10.0.0.2:8000/health\n"
        "gpu2  failed after 0 changes, see below\n"
        "gpu3  up to date\n"
        "Applied: 3 changes on 4 hosts, 2 of 4 hosts failed."
    )
    assert json.loads(outcome_json(outcome))["failed"] is True


def test_what_a_host_wrote_into_a_file_cannot_steer_the_terminal() -> None:
    diff = "--- a\n+++ b\n@@ -1 +1 @@\n-\x1b]0;owned\x07\x1b[2J\u202etxt\n+größe"
    file = FileChange("/etc/app.conf", "change", "lines: 1 added, 1 removed", diff)
    text = plan_text(Plan("prod", (HostPlan("edge", (Change("a", "b", "change", "c", (file,)),)),)))

    assert "        -\N{REPLACEMENT CHARACTER}]0;owned" in text
    assert "        +größe" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
