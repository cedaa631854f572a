import pytest

from stackctl.nvidia.architecture import way


@pytest.mark.parametrize(
    ("compiled", "capability", "answer"),
    [
        ("sm_80", (8, 0), "code"),
        ("sm_80", (8, 9), "code"),  # a later one of the same major version
        ("sm_89", (8, 6), "none"),
        ("sm_80 sm_90", (12, 0), "none"),
        ("sm_80 sm_90+PTX", (12, 0), "ptx"),
        ("sm_90+PTX sm_120", (12, 0), "code"),
        ("sm_90a", (9, 0), "code"),
        ("sm_90a+PTX", (10, 0), "none"),  # what `a` has is promised to no other
        ("sm_100f", (10, 3), "code"),
        ("sm_100a", (10, 3), "none"),
        ("sm_100f+PTX", (12, 0), "none"),
        ("sm_75", (7, 0), "none"),
        ("sm_120+PTX", (9, 0), "none"),
    ],
)
def test_code_runs_within_its_major_version_and_ptx_on_all_that_follow(
    compiled: str, capability: tuple[int, int], answer: str
) -> None:
    assert way(compiled.split(), capability) == answer
