"""The firewall on a host: when the rules are loaded and why, and that whoever applies them is let in."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stackctl.capabilities.firewall import FirewallSpec
from stackctl.core.artifact import Artifact
from stackctl.core.rule import EVERYBODY, Rule, Source, marked
from stackctl.engine.run import Run
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program
from tests.ops.seen import seen

SSH = Rule(22, "tcp", "management", (Source("10.9.0.0/24", "management"),), "ssh", "firewall.ssh")
CHAT = Rule(8000, "tcp", "gateways", (Source("10.0.0.11/32", "edge"),), "replica of chat", "serving")
GAME = Rule(4242, "udp", EVERYBODY, None, "a game", "firewall.open[0]")
SPEC = FirewallSpec(
    (SSH, CHAT), {"wan1": ""}, None, (), False, True, "management", None, "test.yaml `firewall`"
)
MESH = (Source("10.77.0.0/24", "mesh", "wg0"),)
MESH_ONLY = replace(
    SPEC, rules=(replace(SSH, sources=MESH), CHAT), mesh="wg0", ssh="mesh", ssh_address="10.77.0.12"
)
CALL = "rules, *units = files_\nfirewall.enforced(name='enforce', spec=spec, rules=rules, units=units)"


def text(*rules: Rule) -> str:
    """As much of a firewall's file as says what it lets in."""
    return "".join(f"{marked(rule)}\n" for rule in rules)


@dataclass(frozen=True)
class Host:
    """A host whose files are in a folder, and whose kernel tells of a table what the file `table` says."""

    folder: Path

    @classmethod
    def with_rules(cls, folder: Path, monkeypatch: pytest.MonkeyPatch, *rules: Rule) -> "Host":
        """A host on which these rules are written, loaded, and to be loaded at boot; none: it has no firewall."""
        monkeypatch.setattr("stackctl.ops.firewall.LOADED", str(folder / "loaded"))
        host = cls(folder)
        host.login(monkeypatch, "10.9.0.7 50000 10.0.0.12 22")
        program(folder / "bin", "nft", f"cat {folder}/table")
        program(
            folder / "bin",
            "ip",
            r"""case $2 in link) printf '1: lo: x\n2: eth0@if7: x\n3: wan1: x\n';; esac
case $5 in 10.0.0.12) echo "2: eth0 x";; 10.77.0.12) echo "3: wg0 x";; esac""",
        )
        program(
            folder / "bin",
            "systemctl",
            f"case $1 in is-enabled) cat {folder}/boot;; show) echo no;; *) echo $* >>{folder}/calls;; esac",
        )
        (folder / "boot").write_text("enabled\n" if rules else "not-found\n")
        if rules:
            (folder / "firewall.service").write_text("unit\n")
            (folder / "nftables.conf").write_text("kept\n")
            host.load(text(*rules))
        return host

    def load(self, rules: str) -> None:
        """What the unit does."""
        (self.folder / "firewall.nft").write_text(rules)
        (self.folder / "table").write_text("the table\n")
        hashes = [hashlib.sha256(part.encode()).hexdigest() for part in (rules, "the table\n")]
        (self.folder / "loaded").write_text(f"{' '.join(hashes)}\n")

    def login(self, monkeypatch: pytest.MonkeyPatch, connection: str) -> None:
        """Where the operator comes from: client address and port, the host's own address and port."""
        monkeypatch.setenv("SSH_CONNECTION", connection)

    def run(self, spec: FirewallSpec = SPEC) -> Run:
        """A run that is to make the host what `spec` says."""
        rules = Artifact(str(self.folder / "firewall.nft"), text(*spec.rules))
        unit = Artifact(str(self.folder / "firewall.service"), "unit\n")
        kept = Artifact(str(self.folder / "nftables.conf"), "kept\n")
        programs = self.folder / "bin"
        return one_host(
            self.folder / "d", CALL, rules, unit, kept, spec=spec, session=lambda _: LocalSession(programs)
        )

    def reasons(self, spec: FirewallSpec = SPEC) -> list[str]:
        """Why anything would be done."""
        plan = self.run(spec).plan()
        assert plan.findings == ()
        return [change.reason for change in plan.hosts[0].changes]

    def refusal(self, spec: FirewallSpec) -> list[tuple[str, str | None]]:
        """What keeps the plan from being made, and the way out."""
        return [(finding.what, finding.hint) for finding in self.run(spec).plan().findings]


def test_a_host_that_has_the_rules_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host.with_rules(tmp_path, monkeypatch, SSH, CHAT)

    assert host.reasons() == []
    assert seen(host.run())["table inet stackctl"] == {"state": "as loaded"}


def test_a_host_without_a_firewall_is_told_what_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host.with_rules(tmp_path, monkeypatch)

    assert host.reasons() == [
        "closes every port but 22/tcp to management (ssh), 8000/tcp to gateways (replica of chat)"
    ]


@pytest.mark.parametrize(
    ("former", "reason"),
    [
        ((SSH,), "opens 8000/tcp to gateways (replica of chat)"),
        ((SSH, CHAT, GAME), "closes 4242/udp to everybody (a game)"),
        (
            (SSH, replace(CHAT, sources=(Source("10.0.0.12/32", "gpu1"),))),
            (
                "opens 8000/tcp to edge 10.0.0.11 (replica of chat);"
                " closes 8000/tcp to gpu1 10.0.0.12 (replica of chat)"
            ),
        ),
        ((SSH, replace(CHAT, reason="chat")), "load the rules as they are now, no port opens or closes"),
    ],
)
def test_ports_that_open_and_close_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, former: tuple[Rule, ...], reason: str
) -> None:
    assert Host.with_rules(tmp_path, monkeypatch, *former).reasons() == [reason]


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("table", "another\n", "load the rules again, somebody changed them in the kernel"),
        ("loaded", "0 0\n", "load the rules again, somebody changed them in the kernel"),
        ("table", None, "load the rules, the kernel has none"),
        ("boot", "disabled\n", "enable stackctl-firewall.service at boot"),
        ("firewall.service", "other\n", "load the rules as they are now, no port opens or closes"),
    ],
)
def test_rules_that_are_not_as_they_were_loaded_are_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, content: str | None, reason: str
) -> None:
    host = Host.with_rules(tmp_path, monkeypatch, SSH, CHAT)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)

    assert host.reasons() == [reason]


def test_the_change_is_guarded_and_its_file_is_judged_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Host.with_rules(tmp_path, monkeypatch).run()

    (change,) = run.plan().hosts[0].changes

    assert change.guard == "firewall"
    assert [Path(item.path).name for item in change.files] == [
        "firewall.service",
        "nftables.conf",
        "firewall.nft",
    ]


@pytest.mark.parametrize(
    ("connection", "what", "hint"),
    [
        (
            "10.8.0.7 50000 10.0.0.12 22",
            "this machine comes from 10.8.0.7 by eth0, and logins would be let in from 10.9.0.0/24 alone",
            "add a network that holds it to `management`, or apply from a machine that is in one",
        ),
        (
            "2001:db8::7 50000 2001:db8::12 22",
            "this machine comes from 2001:db8::7, and logins would be let in from 10.9.0.0/24 alone",
            "add a network that holds it to `management`, or apply from a machine that is in one",
        ),
        (
            "10.9.0.7 50000 10.0.0.12 2222",
            "this machine comes from 10.9.0.7 by eth0 to port 2222/tcp, which the rules would close",
            "set `ssh.port` to 2222: it is the port that the host's sshd listens on",
        ),
    ],
)
def test_rules_that_would_shut_the_operator_out_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connection: str, what: str, hint: str
) -> None:
    host = Host.with_rules(tmp_path, monkeypatch)
    host.login(monkeypatch, connection)

    assert host.refusal(SPEC) == [(f"test.yaml `firewall`: {what}", hint)]


def test_logins_are_left_to_the_mesh_only_once_one_has_come_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host.with_rules(tmp_path, monkeypatch)

    [(what, hint)] = host.refusal(MESH_ONLY)
    host.login(monkeypatch, "10.77.0.9 50000 10.77.0.12 22")

    assert what == (
        "test.yaml `firewall`: this machine comes from 10.9.0.7 by eth0, and logins would be let in from the mesh alone"
    )
    assert hint == (
        "show that the mesh is a way in: keep `ssh: management`, set the host's `ssh.address` to 10.77.0.12,"
        " and set `ssh: mesh` once an apply has come by wg0"
    )
    assert host.refusal(MESH_ONLY) == []


def test_an_uplink_that_the_host_has_not_is_named_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host.with_rules(tmp_path, monkeypatch, SSH)

    assert host.refusal(replace(SPEC, outside={"wna1": "fibre"})) == [
        ("test.yaml `firewall`: `wna1` is not a network interface of the host", "did you mean `wan1`?")
    ]


def test_an_address_of_the_mesh_that_comes_by_another_interface_is_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host.with_rules(tmp_path, monkeypatch)
    host.login(monkeypatch, "10.77.0.9 50000 10.0.0.12 22")

    assert len(host.refusal(MESH_ONLY)) == 1
