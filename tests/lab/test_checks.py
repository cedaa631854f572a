from dataclasses import dataclass
from pathlib import Path

import pytest

from stackctl.core.finding import FindingsError
from stackctl.lab import checks
from stackctl.lab.spec import LabSpec


@dataclass
class _Usage:
    free: int


class _Unreadable:
    def __init__(self, path: str) -> None:
        self.path = path

    def exists(self) -> bool:
        raise PermissionError(13, "Permission denied", self.path)


SPEC = LabSpec.of("t-none", {"edge": "10.89.0.11"})


def test_each_missing_tool_is_told_with_its_package() -> None:
    findings = checks.missing_tools({"no-tool": "one", "none-either": "two", "nor-this": "two", "sh": "dash"})

    assert [(finding.what, finding.hint) for finding in findings] == [
        ("`no-tool` not found on this machine", "run `apt-get install one`"),
        ("`none-either` and `nor-this` not found on this machine", "run `apt-get install two`"),
    ]


def test_too_little_disk_is_told_with_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage(500_000_000))
    monkeypatch.setattr(checks, "CACHE", Path("/var/cache/t-no-such-cache"))

    (finding,) = checks.space(SPEC)

    assert finding.what == (
        "4.0 GB are needed for /var/cache/t-no-such-cache and /var/lib/stackctl-lab, 0.5 GB are free"
    )


def test_who_is_not_root_is_not_let_near_the_labs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(checks, "STATE", _Unreadable("/var/lib/stackctl-lab"))

    with pytest.raises(FindingsError, match="virtual hosts need root"):
        checks.check(SPEC)


def test_everything_that_stands_in_the_way_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(checks, "TOOLS", {"no-tool": "one"})
    monkeypatch.setattr(checks, "KEYRING", "/no/keyring.gpg")

    with pytest.raises(FindingsError) as refused:
        checks.check(SPEC)

    assert [finding.what for finding in refused.value.findings] == [
        "virtual hosts need root",
        "`no-tool` not found on this machine",
        "/no/keyring.gpg is missing",
    ]
