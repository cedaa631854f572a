"""An interface that somebody else is to have made."""

from pathlib import Path

import pytest

from stackctl.engine.run import Run
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program

SHOWN = "1: lo    inet {address}/8 scope host lo\\n1: lo    inet 127.0.0.9/8 scope host secondary lo\\n"


def run_of(tmp_path: Path, interface: str, address: str, shown: str = SHOWN) -> Run:
    """A host whose `lo` has that address and another."""
    program(tmp_path / "bin", "ip", f"printf '{shown.format(address='10.77.0.11')}'")
    body = f"""
    from stackctl.core.artifact import Artifact
    from stackctl.ops import interface
    files.write(name="first", artifacts=[Artifact("{tmp_path}/first", "x")])
    interface.present(name="check", interface={interface!r}, address={address!r})
    """
    return one_host(tmp_path / "d", body, session=lambda _: LocalSession(tmp_path / "bin"))


def test_an_interface_with_the_address_is_fine(tmp_path: Path) -> None:
    run = run_of(tmp_path, "lo", "10.77.0.11")
    [host] = run.plan().hosts

    assert host.findings == ()
    assert [change.operation for change in host.changes] == ["first"]


@pytest.mark.parametrize(
    ("interface", "shown", "what"),
    [
        ("zt0", SHOWN, "interface zt0: is not on this host, and the mesh is to be on it"),
        ("lo", SHOWN, "interface lo: has 10.77.0.11, 127.0.0.9, and the host's `mesh.address` is 10.77.0.12"),
        ("lo", "", "interface lo: has no IPv4 address, and the host's `mesh.address` is 10.77.0.12"),
    ],
)
def test_any_other_host_is_refused_before_anything_is_changed(
    tmp_path: Path, interface: str, shown: str, what: str
) -> None:
    run = run_of(tmp_path, interface, "10.77.0.12", shown)
    plan = run.plan()
    [finding] = plan.hosts[0].findings

    assert finding.what == what
    assert finding.hint is not None
    assert run.apply(plan).hosts[0].done == ()
    assert not (tmp_path / "first").exists()


@pytest.mark.parametrize(("shown", "refused"), [("", False), ("nebula1", False), ("wg0", True)])
def test_an_address_that_another_interface_has_is_not_given_twice(
    tmp_path: Path, shown: str, *, refused: bool
) -> None:
    line = f"7: {shown}    inet 10.77.0.11/24 scope global {shown}"
    answer = f"[ \"$*\" = '-4 -o address show to 10.77.0.11' ] && echo '{line if shown else ''}'"
    program(tmp_path / "bin", "ip", answer)
    body = """
    from stackctl.ops import interface
    interface.unclaimed(name="check", address="10.77.0.11", interface="nebula1")
    """
    run = one_host(tmp_path / "d", body, session=lambda _: LocalSession(tmp_path / "bin"))

    told = [(found.what, found.hint) for found in run.plan().hosts[0].findings]

    assert told == [
        (
            "interface wg0: has 10.77.0.11, which is to be on nebula1",
            "take wg0 down for good, as with `systemctl disable --now wg-quick@wg0`, or give it another",
        )
    ] * bool(refused)
