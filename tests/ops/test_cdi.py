"""GPUs described to the engine: fresh, in one place, and the only way in."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.nvidia import observe
from stackctl.plan.change import HostOutcome
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.nvidia.fakes import FakeHost
from tests.ops.gpuhost import PCI, SPEC, UUID, complaints, planned, reasons, working

CALL = f"cdi.specified(name='describe the GPUs', uuids=['{UUID}'])"
FILE = "run/cdi/nvidia.yaml"
OTHER = UUID[:-1] + "2"
PART = "MIG-00000000-0000-4000-8000-00000000000a"


def specification(version: str = "550.163.01", *names: str) -> str:
    library = f"/usr/lib/x86_64-linux-gnu/libcuda.so.{version}"
    devices = "".join(
        f"- name: {name}\n  containerEdits:\n    mounts:\n    - hostPath: {library}\n"
        for name in names or [UUID]
    )
    return f"kind: nvidia.com/gpu\ndevices:\n{devices}"


def described(folder: Path, enabled: str = "enabled") -> FakeHost:
    host = working(folder)
    host.write("usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01")
    host.cdi(FILE, specification())
    ours = f"LoadState=loaded\\nActiveState=active\\nUnitFileState={enabled}\\n"
    theirs = "Id=nvidia-persistenced.service\\nLoadState=loaded\\nActiveState=active\\n"
    host.program("systemctl", f"case $* in *stackctl-cdi*) printf '{ours}';; *) printf '{theirs}';; esac")
    return host


def test_a_fresh_specification_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reasons(planned(described(tmp_path), monkeypatch, CALL)) == []


def _none(host: FakeHost) -> None:
    (host.root / FILE).unlink()


def _older(host: FakeHost) -> None:
    host.cdi(FILE, specification("535.309.01"))


def _file_gone(host: FakeHost) -> None:
    (host.root / "usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01").unlink()


def _other_card(host: FakeHost) -> None:
    host.cdi(FILE, specification("550.163.01", OTHER))


def _copy_alone(host: FakeHost) -> None:
    host.cdi("etc/cdi/nvidia.yaml", specification())
    _none(host)


def _old_copy(host: FakeHost) -> None:
    host.cdi("etc/cdi/nvidia.yaml", specification("535.309.01"))


def _broken_copy(host: FakeHost) -> None:
    host.cdi("etc/cdi/nvidia.yaml", specification().replace("/usr/lib/", "/usr/lib64/"))


def _new_parts(host: FakeHost) -> None:
    host.smi_gpu(OTHER, "0000:42:00.0", mig=(("1g.10gb", PART),))


def _old_parts(host: FakeHost) -> None:
    host.cdi(FILE, specification("550.163.01", UUID, PART))


@pytest.mark.parametrize(
    ("trap", "told"),
    [
        (_none, "describe the GPUs to the engine, nothing does yet"),
        (_copy_alone, "describe the GPUs to the engine, nothing does yet"),
        (
            _older,
            "describe the GPUs to the engine, /run/cdi/nvidia.yaml is of driver 535.309.01 and 550.163.01 runs",
        ),
        (
            _file_gone,
            (
                "describe the GPUs to the engine, /run/cdi/nvidia.yaml names"
                " /usr/lib/x86_64-linux-gnu/libcuda.so.550.163.01, which is not there"
            ),
        ),
        (_other_card, f"describe the GPUs to the engine, {UUID} is in no specification"),
        (_new_parts, f"describe the GPUs to the engine, {PART} is in no specification"),
        (_old_parts, f"describe the GPUs to the engine, {PART} is gone"),
        (_old_copy, "remove /etc/cdi/nvidia.yaml, which is of driver 535.309.01 while 550.163.01 runs"),
        (
            _broken_copy,
            (
                "remove /etc/cdi/nvidia.yaml, which names"
                " /usr/lib64/x86_64-linux-gnu/libcuda.so.550.163.01, which is not there"
            ),
        ),
    ],
)
def test_a_specification_that_would_break_containers_goes_or_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: Callable[[FakeHost], None], told: str
) -> None:
    host = described(tmp_path)
    trap(host)

    assert reasons(planned(host, monkeypatch, CALL)) == [told]


def test_the_unit_that_describes_them_at_boot_is_enabled_whoever_described_them_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = described(tmp_path, enabled="disabled")

    assert reasons(planned(host, monkeypatch, CALL)) == ["describe the GPUs at every boot"]


def with_toolkit(host: FakeHost, uuid: str, *, skipped: bool = False) -> None:
    """Its unit writes a specification of a GPU with this UUID, which the toolkit then lists."""
    (host.root / "made").write_text(specification("550.163.01", uuid))
    made = "" if skipped else f"mkdir -p {host.root}/run/cdi; cp {host.root}/made {host.root}/{FILE};"
    show = "printf 'LoadState=loaded\\nUnitFileState=enabled\\n'"
    host.program(
        "systemctl", f"case $* in *restart*) {made} ;; *NeedDaemonReload*--value*) echo no;; *) {show};; esac"
    )
    host.says("nvidia-ctk", f"nvidia.com/gpu=0\nnvidia.com/gpu={uuid}\nnvidia.com/gpu=all")


def applied(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> HostOutcome:
    monkeypatch.setattr("stackctl.ops.gpus.script", lambda: observe.script(str(host.root)))
    call = CALL.replace("uuids=", f"root='{host.root}', uuids=")
    run = one_host(host.path / "deploy", call, session=lambda _: LocalSession(host.bin))
    return run.apply(run.plan()).hosts[0]


def test_a_new_specification_is_made_by_the_unit_and_an_old_copy_removed_and_then_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = described(tmp_path)
    _none(host)
    _old_copy(host)
    with_toolkit(host, UUID)

    outcome = applied(host, monkeypatch)

    assert (outcome.findings, outcome.left) == ((), ())
    assert (host.root / FILE).read_text() == specification()
    assert not (host.root / "etc/cdi/nvidia.yaml").exists()


@pytest.mark.parametrize(
    ("uuid", "skipped", "told"),
    [
        (OTHER, False, f"no specification lists the GPU {UUID}: compare with nvidia-smi -L"),
        (UUID, True, "stackctl-cdi.service wrote nothing: the driver cannot be loaded"),
    ],
)
def test_a_specification_that_does_not_come_out_right_is_told_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uuid: str, skipped: bool, told: str
) -> None:
    host = described(tmp_path)
    _none(host)
    with_toolkit(host, uuid, skipped=skipped)

    [finding] = applied(host, monkeypatch).findings

    assert finding.what.startswith(told)


def _unloaded(host: FakeHost) -> None:
    (host.root / "sys/module/nvidia/version").unlink()
    _none(host)


def test_a_driver_that_is_yet_to_run_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = described(tmp_path)
    _unloaded(host)

    assert reasons(planned(host, monkeypatch, CALL)) == ["describe the GPUs to the engine, nothing does yet"]


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
