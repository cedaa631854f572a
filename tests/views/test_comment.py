"""A review as a comment: nothing that was written may leave its quotes; tests/scenarios has whole ones."""

from stackctl.plan.change import FileChange
from stackctl.plan.difference import Difference
from stackctl.plan.review import HostReview, PartReview, Review
from stackctl.views.comment import review_comment


def comment(*parts: PartReview, before: str = "HEAD") -> str:
    hosts = (HostReview("gpu1", "change", parts),)
    return review_comment(Review("prod", before, "working tree", hosts, (), (), ()))


def item(*texts: str, note: str = "") -> PartReview:
    return PartReview("serving", (Difference("change", "container", "chat", texts, note),))


def file(diff: str, path: str = "/etc/app.conf") -> PartReview:
    return PartReview(
        "system", files=(FileChange(path, "change", "lines: 1 added", f"--- a\n+++ b\n{diff}"),)
    )


def test_the_totals_come_first_and_stand_alone() -> None:
    assert comment(item("image 1 → 2", note="recreated")) == (
        "**prod against `HEAD`: 1 host changed; 1 container recreated.**\n\n"
        "### gpu1\n\n"
        "- `~` serving · container `chat`: `image 1 → 2`; recreated"
    )


def test_no_differences_are_one_line() -> None:
    assert review_comment(Review("prod", "HEAD", "working tree", (), (), (), ())) == (
        "**prod against `HEAD`: no differences.**"
    )


def test_backticks_of_others_are_held_by_longer_ones() -> None:
    assert "- `~` serving · container `chat`: ``a ` b``\n" in comment(item("a ` b"), file(""))
    assert "container `chat`: ``` ``x`` ```" in comment(item("``x``"))
    assert comment(item("x"), before="a`b").startswith("**prod against ``a`b``: ")


def test_line_breaks_of_others_do_not_begin_a_line() -> None:
    assert "`environment X # @everyone look`" in comment(item("environment X\n\n# @everyone\nlook"))


def test_a_diff_with_fences_in_it_has_a_longer_fence() -> None:
    text = comment(file("@@ -1 +1 @@\n+````\n+</details>"))

    assert text.endswith(
        "<details><summary><code>/etc/app.conf</code></summary>\n\n"
        "`````diff\n@@ -1 +1 @@\n+````\n+</details>\n`````\n\n</details>"
    )


def test_a_path_is_text_and_no_markup() -> None:
    assert "<summary><code>/etc/&lt;b&gt;</code></summary>" in comment(file("+a", "/etc/<b>"))


def test_what_is_too_long_for_a_comment_loses_its_diffs_and_says_so() -> None:
    text = comment(file("+" + "x" * 70_000))

    assert len(text) < 1000
    assert "- `~` `/etc/app.conf`: lines: 1 added" in text
    assert text.endswith("The diffs are too long for a comment: `stackctl diff` shows them.")
