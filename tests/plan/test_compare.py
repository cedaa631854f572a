"""A file as it is against the file as it should be."""

import hashlib

from stackctl.core.artifact import Artifact
from stackctl.core.secret import SecretRef
from stackctl.plan.change import FileChange
from stackctl.plan.compare import FileState, compare

WANTED = Artifact("/etc/app.conf", "a\nb\n")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def found(content: str | None = "a\nb\n", mode: int = 0o644, owner: str = "root") -> FileState:
    return FileState("file", mode, owner, "root", sha(content or ""), content)


def against(state: FileState | None, wanted: Artifact = WANTED) -> FileChange | None:
    return compare(wanted, sha(wanted.content), state)


def test_a_file_as_wanted_is_no_change() -> None:
    assert against(found()) is None


def test_a_missing_file_is_added_with_all_its_lines() -> None:
    change = against(None)

    assert change is not None
    assert (change.action, change.reason) == ("add", "new")
    assert change.diff.splitlines()[2:] == ["@@ -0,0 +1,2 @@", "+a", "+b"]


def test_content_and_attributes_that_differ_are_all_named() -> None:
    change = against(found("a\nc\n", 0o600, "app"))

    assert change is not None
    assert (
        change.reason == "lines: 1 added, 1 removed, mode 600 becomes 644, owner app:root becomes root:root"
    )


def test_a_missing_newline_at_the_end_is_seen() -> None:
    change = against(found("a\nb"))

    assert change is not None
    assert change.diff.splitlines()[2:] == ["@@ -1,3 +1,2 @@", " a", " b", "-(no newline at the end)"]


def test_line_ends_of_another_system_are_seen() -> None:
    change = against(found("a\r\nb\n"))

    assert change is not None
    assert change.diff.splitlines()[2:] == ["@@ -1,2 +1,2 @@", "-a^M", "+a", " b"]


def test_only_line_ends_part_lines() -> None:
    change = against(found("a\x0cb\n"))

    assert change is not None
    assert change.diff.split("\n")[2:] == ["@@ -1 +1,2 @@", "-a\x0cb", "+a", "+b"]


def test_content_that_is_not_text_is_changed_without_a_diff() -> None:
    state = FileState("file", 0o644, "root", "root", sha("\0"), None)
    change = against(state)

    assert change is not None
    assert (change.reason, change.diff) == ("content differs, too large or not text", "")


def test_secret_content_has_no_diff() -> None:
    wanted = Artifact("/etc/t", "x", secrets=(SecretRef("env", "T"),))
    change = against(found("y"), wanted)

    assert change is not None
    assert (change.reason, change.diff) == ("content differs, secret and not shown", "")
