"""Cards set as declared; nvidia-smi says yes to everything, so that the card is asked."""

from pathlib import Path
from typing import Any

import pytest

from stackctl.capabilities.gpu import GpuSpec
from tests.nvidia.fakes import FakeHost
from tests.ops.gpuhost import PCI, UUID, planned, reasons, run_script, with_card, working
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
        (
            {"ecc": True},
            {"ecc_mode_current": "Disabled", "ecc_mode_pending": "Enabled"},
            ["reboot, a: memory correction on counts from the next boot on"],
        ),
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


def test_where_the_driver_does_not_answer_nothing_can_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = working(tmp_path)
    host.smi(9)

    assert reasons(planned(host, monkeypatch, CALL, with_card(power_limit=300))) == []
