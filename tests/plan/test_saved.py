"""Plans kept in files."""

import json

import pytest

from stackctl.core.finding import Finding
from stackctl.plan import saved
from stackctl.plan.change import Change, FileChange, HostPlan, Plan

CHANGE = Change(
    "gateway",
    "write the configuration",
    "change",
    "lines: 1 added",
    (FileChange("/etc/app.conf", "change", "lines: 1 added", "@@ diff", "ab" * 32),),
    ("systemctl reload app",),
    ("install the app",),
    "sshd",
)
KEPT = saved.SavedPlan(
    Plan("prod", (HostPlan("edge", (CHANGE,)), HostPlan("gpu1", findings=(Finding("gpu1", "is down"),)))),
    "alice",
    "laptop",
    "0123456789ab",
    "0.1.0",
    "2026-11-24 06:12:01 UTC",
)


def test_a_saved_plan_reads_back_as_it_was() -> None:
    assert saved.read(saved.write(KEPT)) == KEPT


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"plan": 3}', "nonsense"])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no saved plan"):
        saved.read(text)


def test_a_plan_of_another_format_is_refused() -> None:
    values = json.loads(saved.write(KEPT)) | {"format": 2}

    with pytest.raises(ValueError, match="format 2"):
        saved.read(json.dumps(values))


def test_a_host_that_would_be_changed_otherwise_now_is_named_with_the_difference() -> None:
    now = Plan("prod", (HostPlan("edge"), HostPlan("gpu1", (CHANGE,))))

    (finding,) = saved.differences(KEPT.plan, now)

    assert finding.where == "edge"
    assert finding.detail == ("no longer: gateway · write the configuration (lines: 1 added)",)


def test_only_names_that_no_environment_can_have_are_files() -> None:
    assert [saved.is_file_name(name) for name in ("prod", "prod.plan", "./prod", "plans/prod")] == [
        False, True, True, True,
    ]  # fmt: skip


def test_a_host_that_could_not_be_planned_then_is_left_alone_now() -> None:
    now = Plan("prod", (HostPlan("edge", (CHANGE,)), HostPlan("gpu1", (CHANGE,))))

    assert saved.differences(KEPT.plan, now) == ()
    assert saved.kept_only(KEPT.plan, now) == KEPT.plan
