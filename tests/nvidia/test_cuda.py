import pytest

from stackctl.nvidia import cuda
from stackctl.nvidia.version import below, parsed, shown


@pytest.mark.parametrize(("version", "driver"), [("13.4", "580"), ("12.0", "525"), ("11.8", "450.80.02")])
def test_within_a_major_version_its_first_driver_will_do(version: str, driver: str) -> None:
    floor = cuda.floor(parsed(version))

    assert floor is not None
    assert shown(floor) == driver


NATIVE = """
13.3 610.43.02 · 13.2.2 595.71.05 · 13.2.1 595.58.03 · 13.2 595.45.04 · 13.1.1 590.48.01 · 13.1 590.44.01
13.0.2 580.95.05 · 13.0.1 580.82.07 · 13.0 580.65.06 · 12.9.1 575.57.08 · 12.9 575.51.03 · 12.8.1 570.124.06
12.8 570.26 · 12.6.3 560.35.05 · 12.6 560.28.03 · 12.5.1 555.42.06 · 12.5 555.42.02 · 12.4.1 550.54.15
12.4 550.54.14 · 12.3.1 545.23.08 · 12.3 545.23.06 · 12.2.2 535.104.05 · 12.2.1 535.86.09 · 12.2 535.54.03
12.1 530.30.02 · 12.0.1 525.85.12 · 12.0 525.60.13 · 11.8 520.61.05 · 11.7 515.43.04 · 11.4 470.42.01
"""


@pytest.mark.parametrize("pair", NATIVE.replace("\n", " · ").strip(" ·").split(" · "))
def test_every_toolkit_came_with_a_driver_that_knows_it(pair: str) -> None:
    toolkit, driver = (parsed(text) for text in pair.split())

    assert cuda.native(toolkit) == driver
    assert cuda.supported(driver) == toolkit[:2]


@pytest.mark.parametrize(
    ("driver", "newest"),
    [("535", "12.2"), ("550.163.01", "12.4"), ("565", "12.7"), ("580.178.04", "13.0"), ("592", "13.1"), ("620", "13.4")],
)  # fmt: skip
def test_a_driver_knows_the_cuda_of_its_branch(driver: str, newest: str) -> None:
    assert cuda.supported(parsed(driver)) == parsed(newest)


def test_a_branch_of_after_the_table_may_know_more_than_the_table() -> None:
    assert cuda.is_newest((620,))
    assert not cuda.is_newest((615,))


def test_a_branch_before_the_table_knows_nothing_of_it() -> None:
    assert cuda.supported((390, 157)) is None


@pytest.mark.parametrize(("version", "branch"), [("12.8", 570), ("12.6", 560), ("13.2", 595), ("13.9", None)])
def test_a_new_feature_needs_the_branch_that_came_with_it(version: str, branch: int | None) -> None:
    assert cuda.branch_for(parsed(version)) == branch


@pytest.mark.parametrize(
    ("driver", "floor", "older"),
    [
        ("525", "525.60.13", False),  # its newest version is not
        ("520", "525.60.13", True),
        ("525.53", "525.60.13", True),
        ("525.60.13", "525.60.13", False),
        ("580", "580", False),
        ("580.65.06", "580", False),
        ("575.57.08", "580", True),
    ],
)
def test_a_branch_is_older_only_if_its_newest_version_is(driver: str, floor: str, older: bool) -> None:
    assert below(parsed(driver), parsed(floor)) is older
