"""Whatever drifts on whichever hosts: the plan lists exactly that, and an apply mends exactly that."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stackctl.engine.run import Run
from stackctl.ops import unitstate
from stackctl.plan import saved
from stackctl.plan.change import Outcome, Plan
from stackctl.plan.drift import Drift
from stackctl.plan.rollout import Rollout
from tests.engine.drawn import CAPABILITIES, Fleet, Planted, capability_of, drawn, planted, wanted_anew
from tests.engine.keepings import DEPLOY
from tests.engine.kept_files import SECRET

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


@pytest.fixture(scope="module", autouse=True)
def deploys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The deploys of both capabilities, which are loaded once, and where the secret is."""
    folder = tmp_path_factory.mktemp("deploys")
    for name in CAPABILITIES:
        (folder / f"{name}.py").write_text(DEPLOY.replace("@NAME@", name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANTED", SECRET)
        yield folder


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
    for each in fleet.hosts.values():
        each.take_calls()
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
    assert calls == {host: set() for host in fleet.hosts}
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
        patch.setattr(unitstate, "STAMPS", f"{folder}/stamps")
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
