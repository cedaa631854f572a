import subprocess
import sys
import time

import pytest

from stackctl.core.finding import FindingsError
from stackctl.lab.shell import confined, failure, inside, run


def test_a_failure_is_a_finding_with_the_tools_last_words() -> None:
    with pytest.raises(FindingsError) as failed:
        run(["sh", "-c", "echo one >&2; echo two >&2; exit 3"], where="host edge", hint="try harder")

    finding = failed.value.findings[0]
    assert (finding.where, finding.what) == ("host edge", "`sh` failed: two")
    assert (finding.hint, finding.detail) == ("try harder", ("one",))


def test_a_silent_failure_names_its_status() -> None:
    with pytest.raises(FindingsError, match="`false` failed: exit status 1"):
        run(["false"])


def test_a_missing_tool_is_a_finding() -> None:
    with pytest.raises(FindingsError, match="`no-such-tool` is not on this machine"):
        run(["no-such-tool"])


def test_a_failure_is_told_of_the_tool_and_not_of_what_wraps_it() -> None:
    for argv in (confined(["false"]), inside("no-such-namespace", ["false"])):
        assert failure(argv, 1, "", where="lab").what == "`false` failed: exit status 1"


@pytest.mark.lab
def test_a_confined_tool_ends_when_who_asked_for_it_is_killed() -> None:
    code = "from stackctl.lab.shell import confined, run; run(confined(['sh', '-c', 'sleep 61.7 & wait']))"
    with subprocess.Popen([sys.executable, "-c", code]) as asking:
        while not _running("sleep 61.7"):
            time.sleep(0.05)
        asking.kill()

    time.sleep(0.5)

    assert not _running("sleep 61.7")


def _running(command: str) -> bool:
    return subprocess.run(["pgrep", "-fx", command], capture_output=True, check=False).returncode == 0


@pytest.mark.lab
def test_a_confined_tool_ends_with_its_children() -> None:
    began = time.monotonic()

    assert run(confined(["sh", "-c", "sleep 60 & echo started"])) == "started\n"

    assert time.monotonic() - began < 5
