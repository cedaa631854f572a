"""Updates that nobody notices: replicas replaced under load, and everything that goes wrong on the way.

The tests of this module share one lab and build on each other, in order.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from stackctl.lab import lifecycle
from stackctl.lab.spec import LabSpec
from tests.lab.load import loaded
from tests.lab.site import ADDRESSES, Site, site_environment, site_models

pytestmark = pytest.mark.lab

NAME = "t-rolling"
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "one two three four five six seven"}]}
SLOW = {"FAKE_DELAY": "0.05"}
"""Streams take most of a second, so that some are under way whatever happens."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("project"), LabSpec.of(NAME, ADDRESSES))
    written(site)
    lifecycle.up(site.spec, lambda _: None)
    for host in ("gpu1", "gpu2"):
        site.on(host, "mkdir -p /srv/weights/none")
    done = site.stackctl("apply", NAME, "--yes", seconds=900)
    assert done.returncode == 0, done.stdout + done.stderr
    yield site
    lifecycle.down(NAME)


def written(site: Site, **chat: Any) -> None:
    """The inventory, with some settings of the model changed."""
    models = {"chat": {**site_models()["chat"], "env": SLOW, **chat}}
    environment = {**site_environment(), "environment": NAME}
    environment["placements"].pop("speak")
    site.write(models, environment)


def started(site: Site) -> list[str]:
    """When the containers of both replicas were started."""
    command = "docker inspect -f '{{.State.StartedAt}}' stackctl-chat-1"
    return [site.on(host, command) for host in ("gpu1", "gpu2")]


def nothing_left(site: Site) -> None:
    assert site.stackctl("plan", NAME, "--exit-code").returncode == 0
    assert [site.on(host, "ls /run/stackctl-drain") for host in ("gpu1", "gpu2")] == ["", ""]


def test_a_changed_argument_is_rolled_out_without_a_lost_request(site: Site) -> None:
    written(site, max_num_seqs=6)
    before = started(site)
    planned = site.stackctl("plan", NAME).stdout
    with loaded(site, CHAT) as load:
        done = site.stackctl("apply", NAME, "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "recreate chat: command (drained first, about " in planned
    assert "without this replica)" in planned
    assert load.failed == {}
    assert load.asked > 50
    assert all(one != other for one, other in zip(before, started(site), strict=True))
    nothing_left(site)


def test_a_replica_that_does_not_come_up_comes_back_as_it_was_without_a_lost_request(site: Site) -> None:
    written(site, max_num_seqs=5, env={**SLOW, "FAKE_FAIL_START": "1"})
    before = started(site)
    with loaded(site, CHAT) as load:
        done = site.stackctl("apply", NAME, "--yes")

    assert done.returncode == 1
    assert load.failed == {}
    told = " ".join(done.stderr.split())
    assert "gpu1 · serving · run the models chat is r" in told
    assert "times: its device's memory does not suffice; chat runs as it did before again" in told
    assert "CUDA out of memory" in told
    after = started(site)
    assert (after[0] == before[0], after[1] == before[1]) == (False, True)
    assert "--max-num-seqs 6" in site.on(
        "gpu1", "docker inspect -f '{{join .Config.Cmd \" \"}}' stackctl-chat-1"
    )
    written(site, max_num_seqs=6)
    assert site.stackctl("apply", NAME, "--yes").returncode == 0
    nothing_left(site)


def test_an_operator_killed_in_the_middle_of_a_drain_leaves_nothing_that_the_next_apply_does_not_mend(
    site: Site,
) -> None:
    written(site, max_num_seqs=7)
    before = started(site)
    with loaded(site, CHAT, streamed=6) as load:
        process = site.start("apply", NAME, "--yes")
        site.until("gpu1", "[ -e /run/stackctl-drain/chat ]")
        process.kill()
        process.communicate(timeout=60)
        time.sleep(1)
        done = site.stackctl("apply", NAME, "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    assert load.failed == {}
    assert all(one != other for one, other in zip(before, started(site), strict=True))
    nothing_left(site)


def test_a_drain_that_was_left_is_planned_and_ended(site: Site) -> None:
    site.on("gpu1", "mkdir -p /run/stackctl-drain; echo 999999999 > /run/stackctl-drain/chat")

    planned = site.stackctl("plan", NAME).stdout
    assert "let chat back in, which was left drained" in planned
    assert site.stackctl("apply", NAME, "--yes").returncode == 0
    nothing_left(site)


def test_eight_reloads_of_the_gateway_lose_no_request(site: Site) -> None:
    with loaded(site, CHAT) as load:
        for _ in range(8):
            site.on("edge", "systemctl reload haproxy")
            time.sleep(1.5)

    assert load.failed == {}
    assert load.asked > 50


def test_a_model_that_moves_away_is_drained_before_it_is_stopped(site: Site) -> None:
    environment = {**site_environment(), "environment": NAME}
    environment["placements"] = {"chat": [{"host": "gpu2", "devices": ["cpu"]}]}
    models = {"chat": {**site_models()["chat"], "env": SLOW, "max_num_seqs": 7}}
    site.write(models, environment)
    with loaded(site, CHAT) as load:
        done = site.stackctl("apply", NAME, "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    assert load.failed == {}
    assert site.on("gpu1", "docker ps -aq") == ""
