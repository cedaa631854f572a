"""Whatever drifts on whichever hosts: the plan lists exactly that, and an apply mends exactly that."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stackctl.core.connection import Connection
from stackctl.core.job import Job, Part
from stackctl.engine.run import Run
from stackctl.ops import systemd
from stackctl.plan import saved
from stackctl.plan.change import Outcome, Plan
from stackctl.plan.drift import Drift
from stackctl.plan.rollout import Rollout
from tests.engine.fleet import ALICE
from tests.engine.folderhost import FolderHost
from tests.engine.kept_files import SECRET, Blocks, Directories, Files, Keys, Wanted
from tests.engine.kept_states import Packages, Reader, Settings
from tests.engine.keepings import DEPLOY, Deeds, Keeping

CAPABILITIES = ("base", "apps")
everyday = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # making a failure smaller would take minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

Operations = dict[tuple[str, str], Any]
"""By host and name, each with what its changes depend on."""
Planted = dict[tuple[str, int], Deeds]
"""What was done, by host and number of what is kept."""


@pytest.fixture(scope="module", autouse=True)
def deploys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The deploys of both capabilities, which are loaded once, and where the secret is."""
    folder = tmp_path_factory.mktemp("deploys")
    for name in CAPABILITIES:
        (folder / f"{name}.py").write_text(DEPLOY.replace("@NAME@", name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANTED", SECRET)
        yield folder


@dataclass
class Fleet:
    """Hosts in folders, and what each is to keep."""

    deploys: Path
    hosts: dict[str, FolderHost]
    keepings: dict[str, list[Keeping]]

    def run(self) -> Run:
        """Connected, with today's wishes."""
        jobs = [
            Job(name, Connection(name, "192.0.2.1"), tuple(self._part(name, each) for each in CAPABILITIES))
            for name in self.hosts
        ]
        run = Run(
            "test", jobs, lambda name: self.deploys / f"{name}.py", lambda _: None, lambda: ALICE,
            new_session=lambda connection: self.hosts[connection.host].session(),
        )  # fmt: skip
        run.connect()
        return run

    def _part(self, host: str, capability: str) -> Part:
        ours = [each for each in self.keepings[host] if capability_of(each) == capability]
        return Part(capability, tuple(entry for each in ours for entry in each.entries()), ())

    def each(self) -> Iterator[tuple[str, Keeping]]:
        """All that is kept, in the order of the operations."""
        for host in sorted(self.hosts):
            yield from (
                (host, each) for each in sorted(self.keepings[host], key=lambda each: each.number % 2)
            )


def capability_of(keeping: Keeping) -> str:
    return CAPABILITIES[keeping.number % 2]


WORDS = st.sampled_from(["a", "b c", "port 80", "'quoted' $HOME", ""])
VALUES = st.one_of(
    st.booleans(), st.integers(0, 9), st.dictionaries(st.sampled_from("xyz"), st.booleans(), min_size=1)
)
FILES = st.builds(
    Wanted, WORDS.map(lambda word: f"{word}\n"), st.sampled_from([0o644, 0o600, 0o755]), st.booleans()
)
KINDS: dict[type[Keeping], dict[str, st.SearchStrategy[Any]]] = {
    Files: {
        "files": st.lists(FILES, min_size=1, max_size=3),
        "served": st.sampled_from([None, "restart", "reload"]),
        "told": st.booleans(),
    },
    Blocks: {
        "theirs": st.lists(WORDS, max_size=2),
        "blocks": st.lists(st.lists(WORDS, max_size=2), min_size=1, max_size=2),
    },
    Keys: {
        "values": st.dictionaries(st.sampled_from(["k", "l.m", "n"]), VALUES, min_size=1),
        "theirs": st.dictionaries(st.sampled_from("tu"), VALUES),
    },
    Directories: {"names": st.lists(st.sampled_from("abc"), unique=True, min_size=1)},
    Packages: {"pins": st.lists(st.sampled_from([None, "1.0", "2:2.0-1"]), min_size=1, max_size=3)},
    Settings: {"values": st.dictionaries(st.sampled_from("ab"), st.sampled_from(["1", "4 5 6"]), min_size=1)},
    Reader: {"verb": st.sampled_from(["restart", "reload"])},
}


def drawn(data: st.DataObject, folder: Path, deploys: Path) -> Fleet:
    """A small fleet on bare hosts."""
    hosts = {
        f"gpu{number}": FolderHost(folder, f"gpu{number}") for number in range(data.draw(st.integers(1, 3)))
    }
    keepings = {
        name: [
            kind(host, number, **{key: data.draw(strategy, key) for key, strategy in KINDS[kind].items()})
            for number, kind in enumerate(
                data.draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4), name)
            )
        ]
        for name, host in hosts.items()
    }
    return Fleet(deploys, hosts, keepings)


def planted(data: st.DataObject, fleet: Fleet, but: Planted | None = None) -> Planted:
    """Do something to some of the things that nothing was done to yet; returns all that was done."""
    done: Planted = {}
    for host, keeping in fleet.each():
        before = (but or {}).get((host, keeping.number), {})
        deeds = {
            what: data.draw(st.sampled_from([None, None, *ways]), f"{host} {keeping.number} {what}")
            for what, ways in keeping.deeds().items()
            if what not in before
        }
        new = {what: deed for what, deed in deeds.items() if deed is not None}
        # What is done to a file as a whole comes last.
        for what in sorted(new, key=lambda what: what == "file"):
            keeping.do(what, new[what])
        done[host, keeping.number] = {**before, **new}
    return done


def wanted_anew(data: st.DataObject, fleet: Fleet) -> set[tuple[str, str]]:
    """Want another content of some files; returns the hosts' capabilities that want something else now."""
    changed = set()
    for host, keeping in fleet.each():
        if isinstance(keeping, Files) and data.draw(st.booleans(), f"{host} {keeping.number} anew"):
            index = data.draw(st.integers(0, len(keeping.files) - 1))
            keeping.files[index] = replace(keeping.files[index], content="wanted anew\n")
            keeping.anew.add(index)
            changed.add((host, capability_of(keeping)))
    return changed


def of(host: str, operations: Operations) -> Operations:
    return {key: why for key, why in operations.items() if key[0] == host}


def expected(fleet: Fleet, deeds: Planted) -> Operations:
    """What a plan must list, in its order."""
    return {
        (host, name): why
        for host, keeping in fleet.each()
        for name, why in keeping.listed(deeds[host, keeping.number]).items()
    }


def listed(plan: Plan) -> list[tuple[str, str]]:
    assert plan.findings == ()
    return [(host.host, change.operation) for host in plan.hosts for change in host.changes]


def done(outcome: Outcome) -> list[tuple[str, str]]:
    assert [host.findings for host in outcome.hosts] == [()] * len(outcome.hosts)
    assert [host.left for host in outcome.hosts] == [()] * len(outcome.hosts)
    return [(host.host, change.operation) for host in outcome.hosts for change in host.done]


def settles(fleet: Fleet, run: Run, deeds: Planted) -> None:
    """An apply does what must be done and no more; then there is no plan, no drift, and all is as wanted."""
    for host in fleet.hosts.values():
        host.take_calls()
    wanted = expected(fleet, deeds)
    assert done(run.apply(run.plan())) == list(wanted)
    calls = {host: set(each.take_calls()) for host, each in fleet.hosts.items()}
    for host, keeping in fleet.each():
        own = deeds[host, keeping.number]
        now = {name: why for name, why in keeping.listed(own).items() if (host, name) in wanted}
        told = keeping.calls(now, own)
        assert told <= calls[host]
        calls[host] -= told
        keeping.check(own)
    assert calls == dict.fromkeys(fleet.hosts, set())
    in_order(run)


def in_order(run: Run) -> None:
    """Nothing to do, and nothing drifted."""
    assert listed(run.plan()) == []
    found = run.drift()
    assert [(host.things, host.changes, host.wanted) for host in found.hosts] == [((), (), ())] * len(
        found.hosts
    )


def things(found: Drift) -> set[tuple[str, str]]:
    assert found.findings == ()
    return {(host.host, item.thing) for host in found.hosts for item in host.things}


def drifted(fleet: Fleet, deeds: Planted) -> set[tuple[str, str]]:
    return {
        (host, thing)
        for host, keeping in fleet.each()
        for thing in keeping.drifted(deeds[host, keeping.number])
    }


def caused(found: Drift) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Operations that drift calls for, and those that the inventory does."""
    by_drift = [(host.host, change.operation) for host in found.hosts for change in host.changes]
    return by_drift, [(host.host, change.operation) for host in found.hosts for change in host.wanted]


@contextmanager
def applied(data: st.DataObject, deploys: Path) -> Iterator[tuple[Fleet, Run]]:
    """A fleet that was bare and has had its first apply."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(systemd, "STAMPS", f"{folder}/stamps")
        fleet = drawn(data, Path(folder), deploys)
        with fleet.run() as run:
            plan = run.plan()
            assert done(run.apply(plan)) == listed(plan)
            for _, keeping in fleet.each():
                keeping.check({})
            in_order(run)
            yield fleet, run


@everyday
@given(st.data())
def test_whatever_drifts_is_planned_and_named_and_mended_and_nothing_else(
    deploys: Path, data: st.DataObject
) -> None:
    with applied(data, deploys) as (fleet, run):
        deeds = planted(data, fleet)
        wanted = list(expected(fleet, deeds))

        assert listed(run.plan()) == wanted
        assert things(run.drift()) == drifted(fleet, deeds)
        assert caused(run.drift()) == (wanted, [])
        settles(fleet, run, deeds)


@everyday
@given(st.data())
def test_drift_is_told_apart_from_what_is_wanted_anew(deploys: Path, data: st.DataObject) -> None:
    with applied(data, deploys) as (fleet, _):
        deeds = planted(data, fleet)
        anew = wanted_anew(data, fleet)
        by_drift = [
            (host, name)
            for host, keeping in fleet.each()
            for name in keeping.listed(deeds[host, keeping.number])
            if (host, capability_of(keeping)) not in anew
            or name in keeping.by_drift(deeds[host, keeping.number])
        ]
        wanted = list(expected(fleet, deeds))
        with fleet.run() as run:
            assert listed(run.plan()) == wanted
            assert things(run.drift()) == drifted(fleet, deeds)
            assert caused(run.drift()) == (by_drift, [each for each in wanted if each not in by_drift])
            settles(fleet, run, deeds)


@everyday
@given(st.data())
def test_a_saved_plan_is_refused_exactly_when_an_apply_would_do_something_else(
    deploys: Path, data: st.DataObject
) -> None:
    with applied(data, deploys) as (fleet, run):
        before = planted(data, fleet)
        kept = saved.read(
            saved.write(saved.SavedPlan(run.plan(), "alice", "laptop", "", "0.1.0", "now"))
        ).plan
        deeds = planted(data, fleet, before)
        then, now = expected(fleet, before), expected(fleet, deeds)
        different = {host for host in fleet.hosts if of(host, then) != of(host, now)}

        findings = saved.differences(kept, run.plan())

        assert {finding.where for finding in findings} == different
        if different:
            outcome = run.apply(kept, Rollout(max_failures=3))
            refused = {host.host for host in outcome.hosts if host.findings}
            assert refused <= different
            assert different & {host.host for host in kept.hosts if host.changes} <= refused
            assert not any(host.done for host in outcome.hosts if host.host in different)
        else:
            settles(fleet, run, deeds)
