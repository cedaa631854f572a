"""How a review reads; tests/scenarios has whole ones."""

from stackctl.plan.change import FileChange
from stackctl.plan.difference import Difference
from stackctl.plan.review import HostReview, Interruption, PartReview, Review
from stackctl.views.review import review_text, review_totals

NAMES = PartReview("system", (Difference("add", "names in /etc/hosts", items=("10.0.0.14 gpu3",)),))
IMAGE = Difference("change", "container", "chat", ("image v1 → v2",), "recreated")


def review(*hosts: HostReview, interruptions: tuple[Interruption, ...] = ()) -> Review:
    return Review("prod", "HEAD", "working tree", hosts, interruptions, (), ())


def test_what_hosts_have_in_common_stands_once_before_what_each_has_for_itself() -> None:
    own = PartReview("serving", (IMAGE,))
    hosts = (
        HostReview("gpu1", "change", (NAMES, own)),
        HostReview("gpu2", "change", (NAMES,)),
        HostReview("gpu3", "change", (NAMES, own)),
    )

    assert review_text(review(*hosts)) == (
        "gpu1, gpu2, gpu3\n"
        "  + system  names in /etc/hosts  10.0.0.14 gpu3\n"
        "gpu1, gpu3\n"
        "  ~ serving  container chat  image v1 → v2; recreated\n"
        "prod against HEAD: 3 hosts changed; 2 containers recreated."
    )


def test_a_new_host_and_one_that_goes_never_stand_with_others() -> None:
    hosts = (
        HostReview("a", "add", (NAMES,)),
        HostReview("b", "change", (NAMES,)),
        HostReview("c", "remove", (NAMES,)),
    )

    assert [line for line in review_text(review(*hosts)).splitlines() if not line.startswith(" ")] == [
        "a  new",
        "b",
        "c  no longer in the inventory",
        "prod against HEAD: 1 host added, 1 changed, 1 removed.",
    ]


def test_many_names_have_lines_of_their_own_and_an_end() -> None:
    names = tuple(f"10.0.0.{number} gpu{number}" for number in range(40))
    part = PartReview("system", (Difference("add", "names", items=names),))

    lines = review_text(review(HostReview("a", "change", (part,)))).splitlines()

    assert lines[1:3] == ["  + system  names", "      10.0.0.0 gpu0"]
    assert lines[-2] == "      … 28 more"


def test_a_long_new_file_is_folded() -> None:
    body = "\n".join(f"+line {number}" for number in range(40))
    file = FileChange("/etc/new", "add", "new", f"--- a\n+++ b\n@@ -0,0 +1,40 @@\n{body}")
    part = PartReview("system", files=(file,))

    text = review_text(review(HostReview("a", "add", (part,))))

    assert "      +line 10\n      … 29 more lines; `stackctl render` has them\n" in text


def test_interruptions_stand_by_the_totals_with_a_way_round_them() -> None:
    found = review(
        HostReview("a", "change", (NAMES,)),
        interruptions=(
            Interruption("chat", 1800, ("gpu1", "gpu2")),
            Interruption("old", 0, ("gpu1",)),
            Interruption("speak", 90, ("gpu1",)),
        ),
    )

    way_round = "apply to its hosts one by one with `--limit` to keep one answering"
    assert review_text(found).splitlines()[-4:-1] == [
        f"! chat is interrupted for up to 30 min: no replica goes on running; {way_round}",
        "! old is served no more: it is placed nowhere",
        "! speak is interrupted for up to 90 s: no replica goes on running",
    ]


def test_no_differences_are_no_more_than_that() -> None:
    assert review_text(review()) == "No differences."
    assert review_totals(review()) == "prod against HEAD: no differences."


def test_what_an_inventory_holds_cannot_steer_the_terminal_or_pass_for_a_line_of_ours() -> None:
    part = PartReview("serving", (Difference("change", "container", "chat", ("environment X \x1b[2J\nb",)),))

    assert review_text(review(HostReview("a", "change", (part,)))).splitlines()[1] == (
        "  ~ serving  container chat  environment X \N{REPLACEMENT CHARACTER}[2J\\nb"
    )
