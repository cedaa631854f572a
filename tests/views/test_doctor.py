"""The doctor's answer as a person reads it, and as a machine does."""

import json

from stackctl.core.finding import Finding
from stackctl.doctor.rung import Rung
from stackctl.views.doctor import doctor_json, doctor_text

STALE = Finding(
    "gpu1 · CDI",
    "/etc/cdi/nvidia.yaml is of driver 535.309.01, and 550.163.01 runs",
    "remove /etc/cdi/nvidia.yaml: it goes before the right one",
)
RUNGS = (
    Rung("PCI devices", "passed", "0000:41:00.0 10de:2684"),
    Rung("fabric", "skipped", "there are no NVSwitches"),
    Rung("CDI", "failed", STALE.what, (STALE,)),
)


def test_one_line_a_rung_then_what_is_wrong_then_the_sum() -> None:
    assert (
        doctor_text("gpu1", RUNGS)
        == """\
ok      PCI devices  0000:41:00.0 10de:2684
-       fabric       there are no NVSwitches
FAILED  CDI          /etc/cdi/nvidia.yaml is of driver 535.309.01, and 550.163.01 runs

gpu1 · CDI  /etc/cdi/nvidia.yaml is of driver 535.309.01, and 550.163.01 runs
  hint: remove /etc/cdi/nvidia.yaml: it goes before the right one

gpu1: 1 of 3 rungs failed."""
    )


def test_a_sound_host_says_so_in_its_last_line() -> None:
    assert doctor_text("gpu1", RUNGS[:2]).endswith("\n\ngpu1 is sound: 1 of 2 rungs passed, 1 not looked at.")


def test_machines_get_every_rung_with_its_findings() -> None:
    answer = json.loads(doctor_json("gpu1", RUNGS))

    assert (answer["host"], answer["sound"]) == ("gpu1", False)
    assert [rung["state"] for rung in answer["rungs"]] == ["passed", "skipped", "failed"]
    assert answer["rungs"][2]["findings"][0]["hint"] == STALE.hint
