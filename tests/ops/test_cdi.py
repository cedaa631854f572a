"""GPUs described to the engine: fresh, in one place, and the only way in."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.nvidia.fakes import FakeHost
from tests.ops.gpuhost import PCI, SPEC, UUID, complaints, planned, reasons, working

CALL = f"cdi.specified(name='describe the GPUs', uuids=['{UUID}'])"
OTHER = UUID[:-1] + "2"


def specification(version: str = "550.163.01", uuid: str = UUID) -> str:
    library = f"/usr/lib/x86_64-linux-gnu/libcuda.so.{version}"
    return f"kind: nvidia.com/gpu\ndevices:\n- name: {uuid}\n  containerEdits:\n    mounts:\n    - hostPath: {library}\n"


def described(folder: Path) -> FakeHost:
    host = working(folder)
    host.write("usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01")
    host.cdi("var/run/cdi/nvidia.yaml", specification())
    return host


def test_a_fresh_specification_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reasons(planned(described(tmp_path), monkeypatch, CALL)) == []


def _none(host: FakeHost) -> None:
    (host.root / "var/run/cdi/nvidia.yaml").unlink()


def _older(host: FakeHost) -> None:
    host.cdi("var/run/cdi/nvidia.yaml", specification("535.309.01"))


def _file_gone(host: FakeHost) -> None:
    (host.root / "usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01").unlink()


def _other_card(host: FakeHost) -> None:
    host.cdi("var/run/cdi/nvidia.yaml", specification(uuid=OTHER))


def _stale_copy(host: FakeHost) -> None:
    host.cdi("etc/cdi/nvidia.yaml", specification("535.309.01"))


def _new_instance(host: FakeHost) -> None:
    host.cards.clear()
    (host.state / "list").write_text("")
    host.smi_gpu(UUID, PCI, mig=(("3g.40gb", "MIG-1"),))


def _driver_to_come(host: FakeHost) -> None:
    (host.root / "sys/module/nvidia/version").unlink()
    _none(host)


@pytest.mark.parametrize(
    ("trap", "told"),
    [
        (_none, "describe the GPUs to the engine, nothing does yet"),
        (
            _older,
            (
                "describe the GPUs to the engine, /var/run/cdi/nvidia.yaml is of driver 535.309.01"
                " and 550.163.01 runs"
            ),
        ),
        (
            _file_gone,
            (
                "describe the GPUs to the engine, a specification names"
                " /usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01, which is not there"
            ),
        ),
        (_other_card, f"describe the GPUs to the engine, {UUID} is in no specification"),
        (_stale_copy, "remove /etc/cdi/nvidia.yaml, of another driver: it goes before the right one"),
        (_new_instance, "describe the GPUs to the engine, MIG-1 is in no specification"),
        (_driver_to_come, "describe the GPUs to the engine, nothing does yet"),
    ],
)
def test_a_specification_that_would_break_containers_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: Callable[[FakeHost], None], told: str
) -> None:
    host = described(tmp_path)
    trap(host)

    assert reasons(planned(host, monkeypatch, CALL)) == [told]


def test_a_host_whose_cards_are_all_for_virtual_machines_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = described(tmp_path)
    _none(host)
    host.device(PCI, driver="vfio-pci")

    assert reasons(planned(host, monkeypatch, CALL)) == []


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("26.1.5+dfsg1", []),
        ("28.2.2", []),
        ("", []),
        (
            "24.0.7",
            [
                (
                    "engine: Docker 24.0.7 does not know how GPUs are handed out here"
                    " | install Docker 26.1 or newer, or a newer system"
                )
            ],
        ),
    ],
)
def test_an_engine_that_is_too_old_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, told: list[str]
) -> None:
    host = described(tmp_path)
    host.says("docker", version)

    assert complaints(planned(host, monkeypatch, "cdi.engine_knows(name='look')", replace(SPEC))) == told
