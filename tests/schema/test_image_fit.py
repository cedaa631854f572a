"""What an image says of itself, compared with the driver and the card of the host that it is placed on."""

from pathlib import Path

import pytest

from stackctl.schema.compatibility import problems
from stackctl.schema.load import load_with_warnings
from tests.inventory import project
from tests.schema.gpuhosts import B200, H100, RTX_4090, RTX_5090, T4, V100, found, gpu


@pytest.mark.parametrize(
    ("card", "driver", "model", "finding"),
    [
        (
            T4,
            "source: distribution",
            'cuda: "13.0"',
            (
                "4 error the image of `speak` has CUDA 13.0, which needs driver 580 or newer, and the driver is 550"
                " | write `source: nvidia` and `branch: 580`"
            ),
        ),
        (
            V100,
            "source: nvidia, branch: 580",
            'cuda: "13.0"',
            (
                "6 error the image of `speak` has CUDA 13.0, which does not compile for GPU `a` (Volta)"
                " | use an image with CUDA 12.9 or older, or another GPU"
            ),
        ),
        (
            RTX_5090,
            "source: nvidia, branch: 580",
            'cuda: "12.6"',
            (
                "6 warning the image of `speak` has CUDA 12.6, which does not compile for GPU `a` (Blackwell RTX)"
                " | use an image with CUDA 12.8 or newer, or say in `architectures` what it holds"
            ),
        ),
        (
            RTX_5090,
            "source: nvidia, branch: 580",
            "architectures: [sm_80, sm_90]",
            (
                "6 error the image of `speak` is compiled for sm_80, sm_90, which GPU `a` (Blackwell RTX) does not run"
                " | use an image compiled for `sm_120`, or another GPU"
            ),
        ),
        (
            RTX_5090,
            "source: nvidia, branch: 580",
            'cuda: "13.2", architectures: [sm_90+PTX]',
            (
                "4 error the image of `speak` has PTX of CUDA 13.2 for GPU `a` (Blackwell RTX),"
                " which needs driver 595.45.04 or newer, and the driver is 580 | write `branch: 595`"
            ),
        ),
    ],
)
def test_what_the_catalogue_says_of_an_image_is_compared(
    tmp_path: Path, card: str, driver: str, model: str, finding: str
) -> None:
    assert found(tmp_path, gpu(card), driver, model=model) == [finding]


DIGEST = f"sha256:{'ab' * 32}"


def test_what_the_lock_says_of_an_image_is_compared(tmp_path: Path) -> None:
    lock = f'{{digest: "{DIGEST}", cuda: "12.8", requires: "cuda>=12.8 brand=tesla,driver>=535,driver<536"}}'

    assert found(tmp_path, gpu(RTX_4090), "source: distribution", lock=lock) == [
        (
            "4 error the image of `speak` does not start on GPU `a` (Ada): it demands"
            " `cuda>=12.8 brand=tesla,driver>=535,driver<536`, and the driver is 550"
            " | write `source: nvidia` and `branch: 580`"
        )
    ]


def test_no_branch_is_advised_that_the_card_does_not_run_with(tmp_path: Path) -> None:
    lock = f'{{digest: "{DIGEST}", requires: "cuda>=13.2"}}'

    assert found(tmp_path, gpu(V100), "source: nvidia, branch: 580", lock=lock) == [
        (
            "4 error the image of `speak` does not start on GPU `a` (Volta): it demands `cuda>=13.2`,"
            " and the driver is 580 | no driver does both; use another image or another GPU"
        )
    ]


def test_modules_that_go_with_a_wrong_branch_are_no_second_finding(tmp_path: Path) -> None:
    findings = found(tmp_path, gpu(V100), "source: nvidia, branch: 620, modules: proprietary")

    assert findings == [
        "4 error `hosts.h.driver.branch` is 620, but GPU `a` (Volta) runs with 580 at the newest | write `branch: 580`"
    ]


@pytest.mark.parametrize(("card", "findings"), [(T4, 0), (RTX_4090, 2)])
def test_a_data_centre_card_has_an_older_driver_where_the_image_says_so(
    tmp_path: Path, card: str, findings: int
) -> None:
    lock = f'{{digest: "{DIGEST}", cuda: "13.0", requires: "cuda>=13.0 brand=tesla,driver>=550,driver<551"}}'

    assert len(found(tmp_path, gpu(card), "source: distribution", lock=lock)) == findings


def test_a_demand_on_the_card_is_no_matter_of_the_driver(tmp_path: Path) -> None:
    lock = f'{{digest: "{DIGEST}", requires: "arch>=8.0"}}'

    assert found(tmp_path, gpu(T4), "source: nvidia, branch: 580", lock=lock) == [
        (
            "6 error the image of `speak` does not start on GPU `a` (Turing): it demands `arch>=8.0`"
            " | use another image or another GPU"
        )
    ]


@pytest.mark.parametrize(
    "model",
    [
        'cuda: "12.4"',
        "architectures: [sm_75]",
        "env: {NVIDIA_DISABLE_REQUIRE: 1}",
        "env: {NVIDIA_REQUIRE_CUDA: cuda>=12.0}",
        "env: {NVIDIA_REQUIRE_CUDA: whatever the image makes of it}",
    ],
)
def test_the_catalogues_own_word_wins_over_the_locks(tmp_path: Path, model: str) -> None:
    others = {"cuda": 'cuda: "13.0"', "architectures": "architectures: [sm_90]"}
    said = others.get(model.partition(":")[0], 'requires: "cuda>=13.0"')

    assert (
        found(
            tmp_path,
            gpu(T4),
            "source: distribution",
            model=model,
            lock=f'{{digest: "{DIGEST}", {said}}}',
        )
        == []
    )


@pytest.mark.parametrize(
    ("card", "driver", "model"),
    [
        (
            H100,
            "source: nvidia, branch: 580",
            'cuda: "13.2", architectures: [sm_90a]',
        ),  # within the major version
        (H100, "source: nvidia, branch: 620", 'cuda: "12.8"'),
        (V100, "source: nvidia, branch: 580, modules: proprietary", 'cuda: "12.4", architectures: [sm_70]'),
        (B200, "source: existing", 'cuda: "13.0"'),  # nobody knows the driver
        (T4, "source: existing, modules: proprietary", ""),
        (RTX_5090, "source: nvidia, branch: 580", 'cuda: "12.6", architectures: [sm_90+PTX]'),
    ],
)
def test_what_fits_or_cannot_be_told_is_not_complained_of(
    tmp_path: Path, card: str, driver: str, model: str
) -> None:
    assert found(tmp_path, gpu(card), driver, model=model) == []


def test_what_is_for_a_virtual_machine_says_nothing_about_the_hosts_driver(tmp_path: Path) -> None:
    gpus = f"{gpu(T4)}, {gpu(V100, 'b', ', use: passthrough')}"

    assert found(tmp_path, gpus, "source: nvidia, branch: 620") == []


def test_a_finding_on_a_profile_is_told_once_and_there(tmp_path: Path) -> None:
    text = "profiles: {p: {driver: {source: nvidia, branch: 570}}}\nhosts:\n"
    text += "  a: {address: 10.0.0.1, profile: p}\n  b: {address: 10.0.0.2, profile: p}\n"
    root = project(tmp_path, text).root

    findings = load_with_warnings(root, "test", (problems,))[1]

    assert [(item.where, item.severity) for item in findings] == [("inventory/test.yaml:2", "warning")]
