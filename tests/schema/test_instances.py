from pathlib import Path

import pytest

from tests.schema.gpuhosts import A100, RTX_4090, found, gpu

ONE = "MIG-00000000-0000-4000-8000-000000000001"
OTHER = "MIG-00000000-0000-4000-8000-000000000002"
DRIVER = "source: nvidia, branch: 580"


def cut(instances: str, profiles: str = "3g.40gb, 3g.40gb", name: str = "big") -> str:
    return gpu(A100, name[0], f", tuning: {{mig: [{profiles}]}}, instances: {{{instances}}}")


def test_an_instance_is_a_device_like_a_gpu(tmp_path: Path) -> None:
    assert found(tmp_path, cut(f"a: {ONE}, c: {OTHER}"), DRIVER) == []


@pytest.mark.parametrize(
    ("gpus", "findings"),
    [
        (
            cut(f"x: {ONE}, y: {OTHER}", name="a"),
            [
                (
                    "6 error GPU `a` of h is cut into instances, which containers get one by one"
                    " | name one of `x`, `y`"
                )
            ],
        ),
        (
            gpu(A100, "a", ", tuning: {mig: [3g.40gb]}"),
            [
                (
                    "6 error GPU `a` of h is cut into instances, which containers get one by one"
                    " | write `gpus.a.instances`; `stackctl doctor` tells their UUIDs"
                )
            ],
        ),
        (
            gpu(A100, "b", f", instances: {{a: {ONE}}}"),
            [
                (
                    "5 error `hosts.h.gpus.b.instances` names 1, and GPU `b` is not cut"
                    " | write the profiles in `gpus.b.tuning.mig`, or take the names out"
                )
            ],
        ),
        (
            cut(f"a: {ONE}, c: {OTHER}", "3g.40gb"),
            [
                (
                    "5 error `hosts.h.gpus.b.instances` names 2, and GPU `b` is cut into 1"
                    " | write the profiles in `gpus.b.tuning.mig`, or take the names out"
                )
            ],
        ),
        (
            f"{gpu(RTX_4090, 'a')}, {cut(f'a: {ONE}')}",
            ["5 error `a` is already the name of a GPU | give each device of a host a name of its own"],
        ),
        (
            cut(f"a: {ONE}, c: {ONE}"),
            [f"5 error {ONE} is already instance `a` | compare with `nvidia-smi -L` on h"],
        ),
        (
            cut("a: MIG-1"),
            [
                "5 error `hosts.h.gpus.b.instances.a` cannot be `MIG-1` | write `MIG-` and a UUID, as `nvidia-smi -L` prints it"
            ],
        ),
    ],
)
def test_what_cannot_be_meant_is_found(tmp_path: Path, gpus: str, findings: list[str]) -> None:
    assert [item for item in found(tmp_path, gpus, DRIVER) if "has no device" not in item] == findings


def test_the_image_is_compared_with_the_card_that_the_instance_is_of(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, cut(f"a: {ONE}"), DRIVER, model="architectures: [sm_90]")

    assert "which GPU `b` (Ampere) does not run" in finding
