"""Cards set as declared; nvidia-smi says yes to everything, so that the card is asked."""

from pathlib import Path
from typing import Any

import pytest

from stackctl.capabilities.gpu import GpuSpec
from tests.nvidia.fakes import FakeHost
from tests.ops.gpuhost import PCI, UUID, complaints, planned, reasons, run_script, with_card, working
from tests.ops.programs import program

CALL = "tuning.tuned(name='set the GPUs', spec=spec)"


def card(folder: Path, **values: Any) -> FakeHost:
    """A host whose card says this of itself."""
    host = working(folder)
    host.cards.clear()
    host.smi_gpu(UUID, PCI, persistence_mode="Enabled", **values)
    return host


@pytest.mark.parametrize(
    ("settings", "values", "told"),
    [
        ({"power_limit": 450}, {"power_limit": "450.00"}, []),
        ({"power_limit": 300}, {"power_limit": "450.00"}, ["a: power limit 450 becomes 300 W"]),
        ({"power_limit": 300}, {}, ["a: power limit unknown becomes 300 W"]),
        (
            {"clocks": (1593, 1410)},
            {"clocks_applications_memory": "1593", "clocks_applications_graphics": "1200"},
            ["a: application clocks become 1593,1410 MHz"],
        ),
        (
            {"ecc": True},
            {"ecc_mode_current": "Disabled", "ecc_mode_pending": "Disabled"},
            ["a: memory correction is turned on"],
        ),
        ({"ecc": True}, {"ecc_mode_current": "Disabled", "ecc_mode_pending": "Enabled"}, []),
        ({"mig": ("3g.40gb",)}, {"mig_mode_current": "Disabled", "mig_mode_pending": "Enabled"}, []),
        ({"mig": ()}, {}, []),
        (
            {"mig": ()},
            {"mig_mode_current": "Enabled", "mig_mode_pending": "Enabled"},
            ["a: MIG is turned off"],
        ),
        (
            {"mig": ("3g.40gb",)},
            {"mig_mode_current": "Disabled", "mig_mode_pending": "Disabled"},
            ["a: MIG is turned on"],
        ),
        (
            {"mig": ("3g.40gb", "3g.40gb")},
            {"mig_mode_current": "Enabled", "mig_mode_pending": "Enabled"},
            ["a: instances become 3g.40gb, 3g.40gb"],
        ),
    ],
)
def test_what_the_card_says_is_compared_with_what_is_declared(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, object],
    values: dict[str, str],
    told: list[str],
) -> None:
    host = card(tmp_path, **values)

    assert reasons(planned(host, monkeypatch, CALL, with_card(**settings))) == told


def test_instances_as_declared_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = working(tmp_path)
    host.cards.clear()
    (host.state / "list").write_text("")
    mig = (("3g.40gb", "MIG-1"), ("1g.10gb", "MIG-2"))
    host.smi_gpu(UUID, PCI, mig=mig, mig_mode_current="Enabled", mig_mode_pending="Enabled")

    assert reasons(planned(host, monkeypatch, CALL, with_card(mig=("3g.40gb", "1g.10gb")))) == []


def test_a_card_that_ignores_what_it_is_told_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = card(tmp_path, power_limit="450.00")
    program(host.bin, "systemctl", "true")
    spec: GpuSpec = with_card(power_limit=300)

    [change] = planned(host, monkeypatch, CALL, spec).changes
    done = run_script(host, change.commands[0])

    assert (done.returncode, done.stderr) == (70, "a: the power limit is not 300 W, the card says 450.00\n")


@pytest.mark.parametrize(
    ("settings", "values", "told"),
    [
        ({"power_limit": 300}, {"power_limit": "450.00"}, []),
        ({"ecc": True}, {"ecc_mode_current": "Enabled", "ecc_mode_pending": "Enabled"}, []),
        (
            {"ecc": True},
            {"ecc_mode_current": "Disabled", "ecc_mode_pending": "Enabled"},
            ["reboot, a: memory correction on counts from the next boot on"],
        ),
        (
            {"ecc": True, "power_limit": 300},
            {"ecc_mode_current": "Disabled", "ecc_mode_pending": "Disabled", "power_limit": "450.00"},
            ["reboot, a: memory correction on counts from the next boot on"],
        ),
        (
            {"mig": ("3g.40gb",)},
            {"mig_mode_current": "Disabled", "mig_mode_pending": "Enabled"},
            ["reboot, a: MIG on counts from the next boot on"],
        ),
        (
            {"mig": ("3g.40gb",)},
            {"mig_mode_current": "Disabled", "mig_mode_pending": "Disabled"},
            ["reboot, a: MIG on counts from the next boot on"],
        ),
    ],
)
def test_what_counts_from_a_reset_on_is_followed_by_a_reboot(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, object],
    values: dict[str, str],
    told: list[str],
) -> None:
    call = "tuning.counting(name='reboot', spec=spec)"

    assert reasons(planned(card(tmp_path, **values), monkeypatch, call, with_card(**settings))) == told


MIG_ON = {"mig_mode_current": "Enabled", "mig_mode_pending": "Enabled"}
MIG = ("3g.40gb", "1g.10gb")


def split(folder: Path) -> FakeHost:
    """A host whose card draws 450 W and has its instances, on a host whose programs note their calls."""
    host = working(folder)
    host.cards.clear()
    (host.state / "list").write_text("")
    listed = (("3g.40gb", "MIG-1"), ("1g.10gb", "MIG-2"))
    host.smi_gpu(UUID, PCI, mig=listed, power_limit="450.00", **MIG_ON)
    return host


def noted(host: FakeHost, script: str) -> list[str]:
    """What the script called besides its questions."""
    log = host.path / "calls"
    for name in ("systemctl", "docker", "journalctl"):
        program(host.bin, name, f'echo "{name} $*" >>{log}')
    answers = "case $* in *power.limit*) echo 300.00 ;; *mig.mode*) echo Enabled ;; esac"
    program(
        host.bin, "nvidia-smi", f'case $* in *--query*) ;; *) echo "nvidia-smi $*" >>{log} ;; esac\n{answers}'
    )
    done = run_script(host, script.replace("/usr/bin/nvidia-smi", "nvidia-smi"))
    assert (done.returncode, done.stderr) == (0, "")
    return log.read_text().splitlines()


def test_a_power_limit_leaves_instances_and_what_runs_in_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = split(tmp_path)
    host.holder(4711, "VLLM::EngineCor", container="0123456789abcdef")
    spec = with_card(mig=MIG, power_limit=300)

    [change] = planned(host, monkeypatch, CALL, spec).changes

    assert change.reason == "a: power limit 450 becomes 300 W"
    assert noted(host, change.commands[0]) == [
        "systemctl daemon-reload",
        "systemctl enable -q -- stackctl-gpu-tuning.service",
        f"nvidia-smi -i {UUID} -pl 300",
    ]


def test_instances_are_made_anew_with_nothing_running_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = split(tmp_path)
    host.holder(4711, "VLLM::EngineCor", container="0123456789abcdef")

    [change] = planned(host, monkeypatch, CALL, with_card(mig=("7g.80gb",))).changes

    assert change.reason == "a: instances become 7g.80gb; container 0123456789ab stops for it"
    assert noted(host, change.commands[0]) == [
        "systemctl daemon-reload",
        "systemctl enable -q -- stackctl-gpu-tuning.service",
        "docker stop 0123456789ab",
        "systemctl restart -- stackctl-gpu-tuning.service",
        "systemctl is-enabled -q stackctl-cdi",
        "systemctl restart stackctl-cdi",
        "docker start 0123456789ab",
    ]


def test_instances_do_not_change_under_what_stackctl_cannot_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = split(tmp_path)
    host.holder(4712, "qemu-system-x86")

    assert complaints(planned(host, monkeypatch, CALL, with_card(mig=("7g.80gb",)))) == [
        (
            "GPU: its instances cannot change while qemu-system-x86 (process 4712) uses a GPU"
            " | end it, then apply again"
        )
    ]


def test_a_unit_that_fails_for_want_of_a_reset_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = card(tmp_path, mig_mode_current="Disabled", mig_mode_pending="Disabled")
    [change] = planned(host, monkeypatch, CALL, with_card(mig=MIG)).changes
    program(host.bin, "systemctl", '[ "$1" != restart ] || [ "$2" != -- ]')
    answer = "case $* in *current*) echo 'Disabled, Enabled' ;; *) echo Enabled ;; esac"
    program(host.bin, "nvidia-smi", answer)

    done = run_script(host, change.commands[0])

    assert (done.returncode, done.stderr) == (0, "")


def test_where_the_driver_does_not_answer_nothing_can_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    host.smi(9)

    assert reasons(planned(host, monkeypatch, CALL, with_card(power_limit=300))) == []
