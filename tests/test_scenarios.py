"""Two inventories, and what the step from one to the other reads like; each folder is a test."""

from pathlib import Path

import pytest

from stackctl.capabilities import load_fleet
from stackctl.plan.review import Review, Side, review
from stackctl.project import Project
from stackctl.render import jobs
from stackctl.views.comment import review_comment
from stackctl.views.review import review_json, review_text
from tests.expected import expect_texts

SCENARIOS = Path(__file__).parent / "scenarios"
NAMES = sorted(folder.name for folder in SCENARIOS.iterdir())


def side(name: str, folder: Path) -> Side:
    found = Project(folder)
    fleet = load_fleet(found.root, "prod")
    return Side(name, fleet, jobs(fleet, found), found.own_deploys())


def reviewed(name: str) -> Review:
    folder = SCENARIOS / name
    return review("prod", side("HEAD", folder / "before"), side("working tree", folder / "after"))


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_the_inventory_reads_as_reviewed(name: str) -> None:
    found = reviewed(name)

    expect_texts(
        SCENARIOS / name,
        {
            "diff.txt": f"{review_text(found)}\n",
            "diff.md": f"{review_comment(found)}\n",
            "diff.json": f"{review_json(found)}\n",
        },
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_inventory_does_not_differ_from_itself(name: str) -> None:
    after = side("HEAD", SCENARIOS / name / "after")

    assert not review("prod", after, after).differs
