import re

import pytest

from stackctl.nvidia.families import family
from stackctl.nvidia.requirement import PATTERN, Offer, met
from stackctl.nvidia.version import parsed

V100, T4, RTX_4090, RTX_6000_ADA = "10de:1db6", "10de:1eb8", "10de:2684", "10de:26b1"


def offer(driver: str | None, card: str | None = T4) -> Offer:
    return Offer(None if driver is None else parsed(driver), None if card is None else family(card))


@pytest.mark.parametrize(
    ("requirement", "driver", "answer"),
    [
        ("cuda>=12.8", "570.124.06", True),
        ("cuda>=12.8", "570", True),
        ("cuda>=12.8", "560.35.05", False),
        ("cuda>=12.8", None, None),
        ("cuda>=13.5", "620", None),  # newer than the table
        ("cuda>=13.4", "620", True),
        ("cuda<13.0", "620", None),
        ("cuda>=12.8,driver>=580", "570", False),
        ("cuda>=12.8 driver>=535", "550", True),
        ("driver>=580.95", "580.95.05", True),
        ("driver>=580.95", "580.82.07", False),
        ("driver>=580.95", "580", None),  # whichever version it will be
        ("driver>=535,driver<536", "535", True),
        ("driver>=535,driver<536", "550", False),
        ("driver=580.95.05", "580", None),
        ("driver!=580.95.05", "580.65.06", True),
    ],
)
def test_spaces_separate_alternatives_and_commas_what_must_all_hold(
    requirement: str, driver: str | None, answer: bool | None
) -> None:
    assert met(requirement, offer(driver)) is answer


@pytest.mark.parametrize(
    ("requirement", "card", "answer"),
    [
        ("arch>=7.5", T4, True),
        ("arch>=7.5", V100, False),
        ("arch>=7.5", None, None),
        ("brand=tesla", RTX_4090, False),
        ("brand=geforce", T4, False),
        ("brand!=tesla", RTX_4090, True),
        ("brand=tesla", T4, None),  # newer data-centre cards call themselves `nvidia`
        ("brand=tesla", RTX_6000_ADA, None),
    ],
)
def test_the_card_answers_for_architecture_and_brand(
    requirement: str, card: str | None, answer: bool | None
) -> None:
    assert met(requirement, offer("580", card)) is answer


IMAGE = (
    "cuda>=12.8 brand=unknown,driver>=470,driver<471 brand=geforce,driver>=470,driver<471 "
    "brand=tesla,driver>=535,driver<536 brand=nvidia,driver>=550,driver<551"
)
"""In the form of NVIDIA's own images: data-centre cards may have an older driver."""


@pytest.mark.parametrize(
    ("driver", "card", "answer"),
    [
        ("535.309.01", RTX_4090, False),
        ("535.309.01", T4, None),
        ("545.23.08", T4, False),
        ("570.172.08", RTX_4090, True),
    ],
)
def test_an_image_of_nvidias_lets_data_centre_cards_have_an_older_driver(
    driver: str, card: str, answer: bool | None
) -> None:
    assert met(IMAGE, offer(driver, card)) is answer


@pytest.mark.parametrize("text", [IMAGE, "cuda>=12.8", "arch>=7.5,brand!=titan"])
def test_what_images_demand_has_the_form(text: str) -> None:
    assert re.fullmatch(PATTERN, text)


@pytest.mark.parametrize("text", ["", "cuda", "cuda=>12", "cuda>=twelve", "memory>=8", "cuda>=12.8;driver>=5", "cuda>=12.8  "])  # fmt: skip
def test_other_text_has_not(text: str) -> None:
    assert re.fullmatch(PATTERN, text) is None
