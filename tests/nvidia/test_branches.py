import pytest

from stackctl.nvidia import branches
from stackctl.nvidia.version import parsed


@pytest.mark.parametrize(
    ("branch", "kind", "ends", "ended"),
    [
        (535, "long-term", "2026-06", True),
        (570, None, "2026-02", True),
        (580, "long-term", "2028-06", False),
        (595, "production", "2027-03", False),
        (610, "new-feature", "2026-08", True),
        (615, None, None, False),
    ],
)
def test_branches_end(branch: int, kind: str | None, ends: str | None, ended: bool) -> None:
    assert (branches.kind(branch), branches.ends(branch), branches.ended(branch)) == (kind, ends, ended)


@pytest.mark.parametrize(
    ("branch", "modules"),
    [
        (470, "proprietary"),
        (510, "proprietary"),
        (535, "open proprietary"),
        (580, "open proprietary"),
        (615, "open proprietary"),
        (620, "open"),
        (625, "open"),
    ],
)
def test_620_has_the_open_modules_only(branch: int, modules: str) -> None:
    assert " ".join(branches.modules(branch)) == modules


def test_what_is_advised_is_looked_after_and_old() -> None:
    assert branches.advised()[0] == 580
    assert branches.advised(first=590)[0] == 595
    assert branches.advised(first=600) == (620, 615)
    assert branches.advised("proprietary", first=616) == ()


@pytest.mark.parametrize(
    ("version", "bad"),
    [
        ("570.124.06", True),
        ("570.133.20", True),
        ("570.158.01", True),
        ("570.26", False),
        ("570.172.08", False),
        ("570", False),
        ("580.65.06", False),
    ],
)
def test_570_124_to_158_are_known_bad_with_mig_on_some_gpus(version: str, bad: bool) -> None:
    assert [item.when for item in branches.known_bad(parsed(version))] == ["mixed-mig"] * bad


def test_debians_have_one_branch_and_bookworms_open_modules_cannot_be_installed() -> None:
    systems = ("debian-12", "debian-13")
    found = [
        (item.branch, item.modules, item.cuda)
        for item in map(branches.distribution, systems)
        if item is not None
    ]

    assert found == [(535, ("proprietary",), "11.8"), (550, ("open", "proprietary"), "12.4")]
    assert branches.distribution("ubuntu-24.04") is None
