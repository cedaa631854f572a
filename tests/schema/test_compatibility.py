"""Each finding beside the line it is about: what cannot work together is found before a host is touched."""

from pathlib import Path

import pytest

from tests.schema.gpuhosts import A100, B200, RTX_4090, RTX_5090, T4, V100, found, gpu

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
