"""What networkd reads about an interface: beside the file that it has taken for it, whatever that is called."""

from pathlib import Path

import pytest

from stackctl.engine.run import Run
from stackctl.ops import networkd
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.seen import seen

BODY = """
from pathlib import Path
from stackctl.core.artifact import Artifact
from stackctl.ops import networkd
settings = {name: Artifact(f'/etc/stackctl/networkd/{name}.conf', '') for name in spec}
networkd.extended(name='have networkd read of DHCP', settings=settings)
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose networkd took a file for `lo` that netplan named for an entry which matches it otherwise."""
    for name in ("FOLDER", "LINKS"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(networkd, name, str(tmp_path / name))
    number = Path("/sys/class/net/lo/ifindex").read_text().strip()
    state = "ADMIN_STATE=configured\nNETWORK_FILE=/run/systemd/network/10-netplan-fibre.network\n"
    (tmp_path / "LINKS" / number).write_text(state)
    return tmp_path


def run(host: Path, *interfaces: str) -> Run:
    return one_host(host / "d", BODY, spec=interfaces, session=lambda _: LocalSession(host))


def test_ours_is_read_beside_the_file_that_networkd_names(host: Path) -> None:
    first = run(host, "lo")
    assert not first.apply(first.plan()).failed

    link = host / "FOLDER/10-netplan-fibre.network.d/stackctl.conf"
    assert str(link.readlink()) == "/etc/stackctl/networkd/lo.conf"
    again = run(host, "lo")
    assert again.plan().hosts[0].changes == ()
    assert seen(again) == {f"link {link}": {"target": "/etc/stackctl/networkd/lo.conf"}}


def test_an_interface_that_networkd_does_not_look_after_has_nothing_beside_it(host: Path) -> None:
    assert run(host, "eth9").plan().hosts[0].changes == ()
