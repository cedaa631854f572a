"""In which order hosts are taken."""

from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.job import Standing
from stackctl.plan.rollout import batches, waves


def test_a_gateway_comes_after_the_models_behind_it() -> None:
    standings = {"edge": Standing(after=frozenset({"gpu1", "gpu2"})), "gpu1": Standing(), "gpu2": Standing()}

    assert waves(standings) == (("gpu1", "gpu2"), ("edge",))


def test_hosts_that_are_not_in_the_run_are_not_waited_for() -> None:
    assert waves({"edge": Standing(after=frozenset({"gpu1"}))}) == (("edge",),)


def test_two_replicas_of_a_model_are_never_down_together() -> None:
    two = Standing(replicas={"chat": 2})

    assert waves({"gpu1": two, "gpu2": two}) == (("gpu1",), ("gpu2",))


def test_of_many_replicas_at_most_half_are_down_together() -> None:
    five = Standing(replicas={"chat": 5})
    standings = {f"gpu{number}": five for number in range(1, 6)} | {"other": Standing()}

    assert waves(standings) == (("gpu1", "gpu2", "other"), ("gpu3", "gpu4"), ("gpu5",))


def test_new_hosts_serve_nothing_yet_and_go_together() -> None:
    two = Standing(replicas={"chat": 2})

    assert waves({"gpu1": two, "gpu2": two}, new=["gpu2", "gpu1"]) == (("gpu1", "gpu2"),)


def test_hosts_that_wait_for_each_other_go_all_the_same() -> None:
    circle = {"a": Standing(after=frozenset({"b"})), "b": Standing(after=frozenset({"a"}))}

    assert waves(circle) == (("a", "b"),)


def test_a_batch_has_at_most_so_many_hosts() -> None:
    assert list(batches(("a", "b", "c", "d", "e"), 2)) == [("a", "b"), ("c", "d"), ("e",)]
    assert list(batches(("a", "b"), None)) == [("a", "b")]


NAMES = [f"h{number}" for number in range(6)]
FLEETS = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        Standing,
        st.frozensets(st.sampled_from(NAMES), max_size=2),
        st.dictionaries(st.sampled_from(["chat", "speak"]), st.integers(2, 5)),
    ),
)


@given(FLEETS)
def test_every_host_is_taken_exactly_once_whatever_the_fleet(fleet: dict[str, Standing]) -> None:
    found = waves(fleet)

    assert sorted(host for wave in found for host in wave) == sorted(fleet)
    for wave in found:
        for model in ("chat", "speak"):
            down = [fleet[host].replicas[model] for host in wave if model in fleet[host].replicas]
            assert not down or len(down) <= max(1, max(down) // 2)
