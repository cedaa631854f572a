"""What a host passes on for the mesh, where Docker drops what others forward."""

from collections.abc import Sequence
from pathlib import Path

from stackctl.engine.run import Run
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program
from tests.ops.seen import seen

HUB = "-i wg0 -o wg0 -m comment --comment stackctl-mesh -j ACCEPT"
TO = "-d 172.30.0.0/24 -i wg0 -m comment --comment stackctl-mesh -j ACCEPT"
FROM = "-s 172.30.0.0/24 -o wg0 -m comment --comment stackctl-mesh -j ACCEPT"
THEIRS = "-s 10.5.0.0/16 -j DROP"
BODY = """
from stackctl.ops import forwarding
hub, networks, kept = spec
forwarding.passed_on(name='pass on', device='wg0', networks=networks, kept=kept, hub=hub)
"""


def docker(folder: Path, policy: str, *rules: str, chain: str = "-N DOCKER-USER") -> Path:
    """A host with Docker, whose iptables tells and takes rules of its chain for others."""
    (folder / "rules").write_text("".join(f"{line}\n" for line in (chain, *(_in(rule) for rule in rules))))
    script = f"""shift 2
case "$*" in
"-S FORWARD") echo "-P FORWARD {policy}"; echo "-A FORWARD -j DOCKER-USER" ;;
"-S DOCKER-USER") cat {folder}/rules ;;
"-I "*) shift; printf -- '-A %s\\n' "$*" >>{folder}/rules ;;
"-D "*) shift; grep -vxF -- "-A $*" {folder}/rules >{folder}/left; mv {folder}/left {folder}/rules ;;
esac"""
    program(folder / "bin", "iptables", script)
    program(folder / "bin", "dockerd", "true")
    return folder


def _in(rule: str) -> str:
    return f"-A DOCKER-USER {rule}"


def run(host: Path, *, hub: bool = False, networks: Sequence[str] = ()) -> Run:
    spec = (hub, tuple(networks), str(host / "forward.conf"))
    return one_host(host / "d", BODY, spec=spec, session=lambda _: LocalSession(host / "bin"))


def reasons(run: Run) -> list[str]:
    plan = run.plan()
    assert plan.findings == ()
    return [change.reason for change in plan.hosts[0].changes]


def rules(host: Path) -> set[str]:
    return set((host / "rules").read_text().splitlines()[1:])


def test_where_docker_drops_exactly_what_the_mesh_has_is_let_through_and_other_rules_stay(
    tmp_path: Path,
) -> None:
    host = docker(tmp_path, "DROP", THEIRS)
    first = run(host, hub=True, networks=["172.30.0.0/24"])

    assert reasons(first) == [
        "let what the mesh has for its own hosts, 172.30.0.0/24 pass Docker, which drops what others forward"
    ]
    assert not first.apply(first.plan()).failed
    assert rules(host) == {_in(rule) for rule in (THEIRS, HUB, TO, FROM)}
    again = run(host, hub=True, networks=["172.30.0.0/24"])
    assert reasons(again) == []
    assert seen(again) == {"packets passed on for the mesh": {"state": "passed"}}


def test_where_nothing_is_dropped_nothing_is_done(tmp_path: Path) -> None:
    found = run(docker(tmp_path, "ACCEPT"), hub=True)

    assert reasons(found) == []
    assert seen(found) == {"packets passed on for the mesh": {"state": "passed"}}


def test_the_chain_is_made_as_docker_makes_it_where_somebody_flushed_it(tmp_path: Path) -> None:
    host = docker(tmp_path, "DROP", chain="")
    program(
        tmp_path / "bin",
        "iptables",
        f'echo "$*" >>{tmp_path}/asked; case $4 in (FORWARD) echo "-P FORWARD DROP";; esac',
    )

    found = run(host, hub=True)
    found.apply(found.plan())

    assert [line for line in (tmp_path / "asked").read_text().splitlines() if " -S " not in line] == [
        "-w 5 -N DOCKER-USER",
        "-w 5 -A DOCKER-USER -j RETURN",
        "-w 5 -I FORWARD -j DOCKER-USER",
        f"-w 5 -I DOCKER-USER {HUB}",
    ]


def test_what_is_no_longer_passed_on_is_taken_back_and_forwarding_with_it(tmp_path: Path) -> None:
    host = docker(tmp_path, "DROP", THEIRS, HUB, TO, FROM)
    (host / "forward.conf").write_text("net.ipv4.ip_forward = 1\n")
    last = run(host)

    assert reasons(last) == [
        "take back what let the mesh pass Docker; turn forwarding on no more at boot, nothing is passed on"
    ]
    assert not last.apply(last.plan()).failed
    assert rules(host) == {_in(THEIRS)}
    assert not (host / "forward.conf").exists()


def test_of_two_networks_one_that_is_taken_out_leaves_the_other(tmp_path: Path) -> None:
    host = docker(tmp_path, "ACCEPT", HUB, TO, FROM)
    less = run(host, networks=["172.30.0.0/24"])

    assert not less.apply(less.plan()).failed
    assert rules(host) == {_in(rule) for rule in (TO, FROM)}
