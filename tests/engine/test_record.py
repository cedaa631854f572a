"""What a host keeps of runs: an audit log that tells the truth, a receipt that is whole."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stackctl.engine import record
from stackctl.engine.actor import Actor
from stackctl.engine.batch import Command
from stackctl.plan.change import Change
from stackctl.plan.receipt import Receipt, read_receipt, visits
from tests.engine.local import LocalSession

ALICE = Actor("alice", "laptop", "0123456789ab+", "run-1", "0.1.0")
INSTALL = Change("docker", "install 'the' \"engine\"", "add", "install docker.io\nand more $(x) `y` %s")
WRITE = Change("docker", "configure", "change", "lines: 1 added")
FINE, BROKEN = (Command(script, 10, after_success=True) for script in ("true", "exit 7"))


def log(state: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (state / "lib/audit.jsonl").read_text().splitlines()]


@contextmanager
def full_disk(path: Path, size: str = "8k") -> Iterator[None]:
    """A file system with no room below `path`, which only root may make."""
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


def test_a_run_that_went_well_has_a_beginning_steps_and_an_end(tmp_path: Path) -> None:
    host = LocalSession(state=tmp_path)
    host.run([record.begin(ALICE, "prod", 1, [])])
    host.run([record.step(ALICE, INSTALL), FINE, record.ended(ALICE, INSTALL)])
    host.run([record.note(ALICE, "finish", result="done", findings=[])])

    (visit,) = visits(record_lines(host))

    assert [entry["kind"] for entry in log(tmp_path)] == ["begin", "step", "done", "finish"]
    assert (visit.who, visit.commit, visit.result) == ("alice", "0123456789ab+", "done")
    assert (visit.steps[0].operation, visit.steps[0].reason) == (INSTALL.operation, INSTALL.reason)
    assert (tmp_path / "lib").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "lib/audit.jsonl").stat().st_mode & 0o777 == 0o600


def record_lines(host: LocalSession) -> list[str]:
    return host.run([record.READ_AUDIT])[0].stdout.splitlines()


def test_a_step_that_fails_is_noted_as_failed_and_those_after_it_not_at_all(tmp_path: Path) -> None:
    host = LocalSession(state=tmp_path)

    answers = host.run(
        [
            record.step(ALICE, WRITE), BROKEN, record.ended(ALICE, WRITE),
            record.step(ALICE, INSTALL), FINE, record.ended(ALICE, INSTALL),
        ]
    )  # fmt: skip

    assert [answer.status for answer in answers] == [0, 7, 0, 121, 121, 0]
    assert [(entry["kind"], entry["operation"]) for entry in log(tmp_path)] == [
        ("step", "configure"),
        ("failed", "configure"),
    ]


def test_what_cannot_be_noted_is_not_done_and_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    with full_disk(tmp_path / "lib"):
        host = LocalSession(state=tmp_path)
        host.run([record.begin(ALICE, "prod", 1, [])])
        before = log(tmp_path)
        subprocess.run(["sh", "-c", f"cat /dev/zero > {tmp_path}/lib/full"], check=False, capture_output=True)
        long = Change("docker", "install", "add", "x" * 9000)

        noted, done = host.run(
            [record.step(ALICE, long), Command(f"touch {tmp_path}/done", 10, after_success=True)]
        )

        assert (noted.status != 0, done.status) == (True, 121)
        assert "No space left" in noted.stderr
        assert log(tmp_path) == before
    assert not (tmp_path / "done").exists()


def test_a_long_log_is_put_aside_and_still_read(tmp_path: Path) -> None:
    host = LocalSession(state=tmp_path)
    for number in range(7):
        actor = Actor("alice", "laptop", "", f"run-{number}", "0.1.0")
        host.run([record.begin(actor, "prod", 1, [])])
        with (tmp_path / "lib/audit.jsonl").open("a") as file:
            file.write(f"{'#' * 99}\n" * 10_500)

    assert sorted(path.name for path in (tmp_path / "lib").iterdir()) == [
        "audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3", "audit.jsonl.4",
    ]  # fmt: skip
    assert [visit.run for visit in visits(record_lines(host))] == [f"run-{number}" for number in range(2, 7)]


def test_owed_reboots_are_kept_in_mind_from_the_beginning_of_a_run(tmp_path: Path) -> None:
    LocalSession(state=tmp_path).run([record.begin(ALICE, "prod", 1, ["new kernel"])])

    assert [path.name for path in (tmp_path / "run/reboot").iterdir()] == ["new kernel"]


def test_a_receipt_is_replaced_whole_and_read_back(tmp_path: Path) -> None:
    host = LocalSession(state=tmp_path)
    things = {"file /etc/it's": {"mode": "644"}, "package größe": {"version": "1\\2 $x `y`"}}
    receipt = Receipt("run-1", "alice", "laptop", "", "0.1.0", "prod", things=things)

    host.run([record.write_receipt(Receipt("run-0", "bob", "ci", "", "0.1.0", "prod"))])
    assert host.run([record.write_receipt(receipt)])[0].status == 0
    found = read_receipt(host.run([record.READ_RECEIPT])[0].stdout)

    assert found is not None
    assert (found.run, found.things) == ("run-1", things)
    assert found.at.endswith("Z")
    assert [path.name for path in (tmp_path / "lib").iterdir()] == ["receipt.json"]
    assert (tmp_path / "lib/receipt.json").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_the_receipt_as_it_was(tmp_path: Path) -> None:
    with full_disk(tmp_path / "lib"):
        host = LocalSession(state=tmp_path)
        host.run([record.write_receipt(Receipt("run-0", "bob", "ci", "", "0.1.0", "prod"))])
        things = {f"file /{number}": {"mode": "644"} for number in range(2000)}

        answer = host.run(
            [record.write_receipt(Receipt("run-1", "alice", "x", "", "0", "prod", things=things))]
        )[0]

        assert answer.status != 0
        found = read_receipt(host.run([record.READ_RECEIPT])[0].stdout)
        assert found is not None
        assert found.run == "run-0"
        assert [path.name for path in (tmp_path / "lib").iterdir()] == ["receipt.json"]


def test_a_host_nobody_applied_to_has_no_receipt_and_no_history(tmp_path: Path) -> None:
    host = LocalSession(state=tmp_path)

    assert read_receipt(host.run([record.READ_RECEIPT])[0].stdout) is None
    assert record_lines(host) == []
