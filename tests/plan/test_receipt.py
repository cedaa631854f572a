"""What hosts keep of runs, read back."""

import json
from dataclasses import replace

from stackctl.plan.receipt import Receipt, Step, read_receipt, visits

RECEIPT = Receipt(
    "run-1", "alice", "laptop", "0123456789ab", "0.1.0", "prod", things={"file /etc/a": {"mode": "644"}}
)


def lines(*entries: dict[str, object]) -> list[str]:
    return [json.dumps({"at": "2026-11-24T06:12:01Z", "run": "run-1", **entry}) for entry in entries]


BEGIN: dict[str, object] = {
    "kind": "begin", "who": "alice", "machine": "laptop", "commit": "0123456789ab", "version": "0.1.0",
}  # fmt: skip
STEP: dict[str, object] = {
    "kind": "step", "capability": "docker", "operation": "install", "action": "add", "reason": "install it",
}  # fmt: skip
DONE: dict[str, object] = {"kind": "done", "capability": "docker", "operation": "install"}


def test_a_receipt_reads_back_as_it_was_written() -> None:
    stored = f'{{"at": "2026-11-24T06:12:01Z", {RECEIPT.text()[1:]}'

    assert read_receipt(stored) == replace(RECEIPT, at="2026-11-24T06:12:01Z")


def test_what_is_no_receipt_of_this_format_is_none() -> None:
    for text in ("", "nonsense", "[]", "{}", '{"format": 2}', '{"format": 1, "other": 3}'):
        assert read_receipt(text) is None


def test_a_run_that_ended_well_is_told_with_its_steps() -> None:
    (visit,) = visits(lines(BEGIN, STEP, DONE, {"kind": "finish", "result": "done", "findings": []}))

    assert (visit.who, visit.machine, visit.commit, visit.result) == (
        "alice", "laptop", "0123456789ab", "done",
    )  # fmt: skip
    assert visit.steps == (Step("docker", "install", "add", "install it", "done"),)


def test_a_run_without_an_end_was_cut_off_and_so_was_its_last_step() -> None:
    (visit,) = visits(lines(BEGIN, STEP))

    assert (visit.result, visit.steps[0].result) == ("cut off", "cut off")


def test_lines_that_are_no_entries_are_passed_over() -> None:
    broken = ['{"at": "2026', "", "[]", '{"kind": "step"}']

    assert [visit.run for visit in visits([*broken, *lines(BEGIN), *broken])] == ["run-1"]


def test_reboots_and_what_the_host_took_back_are_notes() -> None:
    (visit,) = visits(
        lines(
            BEGIN,
            {"kind": "reboot", "reason": "the kernel is new"},
            {"kind": "restored", "guard": "sshd"},
            {"kind": "finish", "result": "failed", "findings": ["cut off"]},
        )
    )

    assert visit.notes == (
        "rebooted: the kernel is new",
        "the host took the change to sshd back by itself",
        "cut off",
    )
