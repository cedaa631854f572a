"""Each finding beside the line it is about: what cannot work together is found before a host is touched."""

from pathlib import Path

import pytest

from stackctl.core.finding import FindingsError
from stackctl.schema.compatibility import problems
from stackctl.schema.load import load_with_warnings
from tests.inventory import project

V100, T4, A100, RTX_4090, H100, B200, RTX_5090 = "1db6", "1eb8", "20b2", "2684", "2330", "2901", "2b85"


def found(
    folder: Path, gpus: str, driver: str, system: str = "debian-13", model: str = "", lock: str = ""
) -> list[str]:
    """Findings on a host whose driver is in line 4 and whose GPUs are in line 5; line 6 places `speak` on GPU `a`."""
    text = (
        f"hosts:\n  h: {{address: 10.0.0.1, os: {system}, roles: [gateway, models],\n"
        f"    driver: {{{driver}}},\n    gpus: {{{gpus}}}}}\n"
        "placements: {speak: [{host: h, devices: [a]}]}\n"
    )
    catalogue = f'models:\n  speak: {{server: custom, image: "tts:1", port: 8880, api: [speech]{model and ", "}{model}}}\n'
    root = project(folder, text, catalogue, f'"tts:1": {lock}\n' if lock else None).root
    try:
        findings = load_with_warnings(root, "test", (problems,))[1]
    except FindingsError as error:
        findings = error.findings
    return [
        f"{item.where.removeprefix('inventory/test.yaml:')} {item.severity} {item.what} | {item.hint}"
        for item in findings
    ]


def gpu(device: str, name: str = "a", more: str = "") -> str:
    number = ord(name)
    uuid = f"GPU-00000000-0000-4000-8000-0000000000{number:02x}"
    return f'{name}: {{uuid: {uuid}, pci: "0000:{number:02x}:00.0", id: "10de:{device}"{more}}}'


BARE = "GPU-00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("gpus", "findings"),
    [
        (
            f"{gpu(T4)}, b: {{use: passthrough}}",
            [
                (
                    "5 error `hosts.h.gpus.b` is for a virtual machine, but has no `pci`"
                    " | add `pci`, as `lspci -D -d 10de:` on h prints it"
                )
            ],
        ),
        (
            f'{gpu(T4)}, b: {{pci: "0000:61:00.0", id: "10de:{T4}"}}',
            [
                "5 error 0000:61:00.0 is already where GPU `a` sits | compare with `lspci -D -d 10de:` on h",
            ],
        ),
        (
            f'a: {{id: "10de:{T4}"}}',
            [
                (
                    "5 error `hosts.h.gpus.a` has no `uuid`, but models are placed on it"
                    " | add `uuid`; `stackctl doctor h` tells it once the driver runs"
                )
            ],
        ),
        (
            gpu(T4, more=", use: passthrough"),
            [
                (
                    "6 error `speak` is placed on GPU `a` of h, which is for a virtual machine"
                    " | name another, or write `hosts.h.gpus.a.use: containers`"
                )
            ],
        ),
        (
            f"a: {{uuid: {BARE}}}",
            [
                (
                    "5 warning `hosts.h.gpus.a` has no `id`, so that nobody checks whether driver and images fit it"
                    " | add `id`, as `lspci -n -d 10de:` on h prints it"
                )
            ],
        ),
        (
            gpu("ffff"),
            [
                (
                    "5 warning `hosts.h.gpus.a.id` is `10de:ffff`, of no family known here, so that nobody checks"
                    " whether driver and images fit it | compare with `lspci -n -d 10de:` on h"
                )
            ],
        ),
    ],
)
def test_a_gpu_says_what_is_needed_of_it(tmp_path: Path, gpus: str, findings: list[str]) -> None:
    assert found(tmp_path, gpus, "source: nvidia, branch: 580") == findings


@pytest.mark.parametrize(
    ("gpus", "driver", "finding"),
    [
        (
            gpu(V100),
            "source: nvidia, branch: 595",
            (
                "4 error `hosts.h.driver.branch` is 595, but GPU `a` (Volta) runs with 580 at the newest"
                " | write `branch: 580`"
            ),
        ),
        (
            gpu(RTX_5090),
            "source: nvidia, version: 550.163.01",
            (
                "4 error `hosts.h.driver.version` is 550.163.01, but GPU `a` (Blackwell RTX) needs 570 or newer"
                " | write `branch: 580` instead"
            ),
        ),
        (
            gpu(B200),
            "source: distribution",
            (
                "4 error `hosts.h.driver.source` is `distribution`, which is branch 550,"
                " but GPU `a` (Blackwell) needs 570 or newer | write `source: nvidia` and `branch: 580`"
            ),
        ),
        (
            gpu(V100),
            "branch: 595",
            (
                "4 error `hosts.h.driver.branch` is 595, but GPU `a` (Volta) runs with 580 at the newest"
                " | install a driver of branch 580 and write `branch: 580`"
            ),
        ),
    ],
)
def test_a_branch_knows_every_gpu_of_the_host(tmp_path: Path, gpus: str, driver: str, finding: str) -> None:
    assert found(tmp_path, gpus, driver) == [finding]


@pytest.mark.parametrize(
    ("gpus", "driver", "finding"),
    [
        (
            gpu(B200),
            "modules: proprietary",
            (
                "4 error `hosts.h.driver.modules` is `proprietary`, but GPU `a` (Blackwell) runs with the open ones only"
                " | write `modules: open`, or take the line out"
            ),
        ),
        (
            gpu(V100),
            "source: nvidia, branch: 580, modules: open",
            (
                "4 error `hosts.h.driver.modules` is `open`, but GPU `a` (Volta) runs with the proprietary ones only"
                " | write `modules: proprietary`, or take the line out"
            ),
        ),
        (
            gpu(T4),
            "source: nvidia, branch: 620, modules: proprietary",
            (
                "4 error `hosts.h.driver.modules` is `proprietary`, which branch 620 does not have"
                " | write `modules: open`, or take the line out"
            ),
        ),
        (
            f"{gpu(B200)}, {gpu(V100, 'b')}",
            "source: nvidia, branch: 580",
            (
                "5 error GPU `a` (Blackwell) needs the open modules and GPU `b` (Volta) the proprietary ones;"
                " a host has one"
                " | move one of them to another host, or to a virtual machine with `use: passthrough`"
            ),
        ),
    ],
)
def test_modules_run_every_gpu_of_the_host(tmp_path: Path, gpus: str, driver: str, finding: str) -> None:
    assert found(tmp_path, gpus, driver) == [finding]


@pytest.mark.parametrize(
    ("system", "driver", "finding"),
    [
        (
            "ubuntu-24.04",
            "source: distribution",
            (
                "4 error `hosts.h.driver.branch` is missing: ubuntu-24.04 has drivers of several branches"
                " | write `branch: 580`"
            ),
        ),
        (
            "debian-13",
            "source: distribution, branch: 580",
            (
                "4 error `hosts.h.driver.branch` is 580, but debian-13 itself has branch 550 only"
                " | write `source: nvidia`, or take `branch` out"
            ),
        ),
        (
            "debian-12",
            "source: distribution, modules: open",
            (
                "4 error `hosts.h.driver.modules` cannot be `open` with debian-12's own driver: its open modules need"
                " a firmware that the security updates replace"
                " | write `source: nvidia` and `branch: 580`, or `modules: proprietary`"
            ),
        ),
        (
            "debian-13",
            "source: none",
            (
                "4 error `hosts.h.driver.source` is `none`, but GPU `a` is for containers"
                " | write `source: nvidia` and `branch: 580`, or `use: passthrough` with the GPU"
            ),
        ),
    ],
)
def test_a_source_has_the_driver_that_is_wanted(
    tmp_path: Path, system: str, driver: str, finding: str
) -> None:
    assert found(tmp_path, gpu(T4), driver, system) == [finding]


def test_a_branch_past_its_end_is_warned_of(tmp_path: Path) -> None:
    assert found(tmp_path, gpu(T4), "source: nvidia, branch: 570") == [
        "4 warning 570 is of a branch that ended in 2026-02 | write `branch: 580`"
    ]


def test_a_distribution_looks_after_its_own_branch_itself(tmp_path: Path) -> None:
    assert found(tmp_path, gpu(T4), "source: distribution", "debian-12") == []


MIG = ", tuning: {mig: [3g.40gb, 3g.40gb]}"


def test_a_version_known_to_fail_with_mig_on_some_gpus_is_refused_there(tmp_path: Path) -> None:
    gpus = f"{gpu(A100, more=MIG)}, {gpu(A100, 'b')}"

    assert found(tmp_path, gpus, "source: nvidia, version: 570.133.20")[0] == (
        "4 error 570.133.20 fails where some of a host's GPUs are cut into MIG instances and some are not,"
        " as all versions from 570.124 to 570.158 | write `branch: 580` instead"
    )


def test_a_version_known_to_fail_with_mig_is_fine_without(tmp_path: Path) -> None:
    findings = found(tmp_path, gpu(A100), "source: nvidia, version: 570.133.20")

    assert [text for text in findings if "error" in text] == []


def test_a_card_without_mig_cannot_be_cut(tmp_path: Path) -> None:
    assert found(tmp_path, gpu(RTX_4090, more=MIG), "source: nvidia, branch: 580") == [
        "5 error GPU `a` (Ada) has no MIG | take it out"
    ]


def test_a_toolkit_on_the_host_needs_its_driver_too(tmp_path: Path) -> None:
    assert (
        "4 error CUDA 13.0 needs driver 580 or newer, and this host has 570 | write `branch: 580`"
        in found(tmp_path, gpu(T4), 'source: nvidia, branch: 570, cuda: ["13.0"]')
    )


def test_a_distribution_has_one_toolkit(tmp_path: Path) -> None:
    assert found(tmp_path, gpu(T4), 'source: distribution, cuda: ["12.4", "12.8"]') == [
        (
            "4 error debian-13 itself has CUDA 12.4, not 12.8"
            ' | write `"12.4"`, or `source: nvidia` and `branch: 580`'
        )
    ]


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
