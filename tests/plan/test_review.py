"""What the step from one inventory to another does; tests/scenarios shows whole ones."""

from pathlib import Path

import pytest

from stackctl.capabilities import load_fleet
from stackctl.connections import connection
from stackctl.core.artifact import Artifact
from stackctl.core.job import Job, Part
from stackctl.plan.difference import Difference, duration
from stackctl.plan.review import HostReview, Interruption, PartReview, Review, Side, review
from stackctl.render import jobs
from tests.inventory import CATALOGUE, HOSTS, project

PLACED = HOSTS + "placements: {chat: [{host: gpu1, devices: [cpu]}, {host: gpu2, devices: [cpu]}]}\n"
GPU = """\
hosts:
  edge: {address: 10.0.0.11, roles: [gateway]}
  gpu1:
    address: 10.0.0.12
    roles: [models]
    gpus:
      a: {uuid: GPU-00000000-0000-4000-8000-000000000001}
      b: {uuid: GPU-00000000-0000-4000-8000-000000000002}
"""


def side(folder: Path, name: str, environment: str, catalogue: str) -> Side:
    (folder / name).mkdir()
    found = project(folder / name, environment, catalogue)
    fleet = load_fleet(found.root, "test")
    return Side(name, fleet, jobs(fleet, found))


def step(
    folder: Path, before: str, after: str, catalogue: str = CATALOGUE, then: str | None = None
) -> Review:
    """The review of two environments, and of two catalogues where they differ."""
    old, new = side(folder, "old", before, catalogue), side(folder, "new", after, then or catalogue)
    return review("test", old, new)


def part(found: Review, host: str, capability: str) -> PartReview:
    (wanted,) = (item for item in found.hosts if item.host == host)
    return next(item for item in wanted.parts if item.capability == capability)


def container(found: Review, host: str) -> Difference:
    (wanted,) = (item for item in part(found, host, "serving").differences if item.kind == "container")
    return wanted


def test_a_replica_that_moves_to_another_gpu_is_recreated(tmp_path: Path) -> None:
    before = GPU + "placements: {chat: [{host: gpu1, devices: [a]}]}"

    name = "nvidia.com/gpu=GPU-00000000-0000-4000-8000-00000000000"

    found = container(step(tmp_path, before, before.replace("[a]", "[b]")), "gpu1")

    assert found.items == (f"devices {name}1 → {name}2",)
    assert found.note == "recreated: up to 30 min without service"


def test_every_field_that_recreates_a_container_is_named(tmp_path: Path) -> None:
    catalogue = """models:
  speak:
    {server: custom, image: "tts:1", port: 8880, api: [speech], weights: {path: a}, env: {LANG: C}, stop_seconds: 9}
"""
    then = catalogue.replace("port: 8880", "port: 8881").replace("path: a", "path: b")
    then = then.replace("LANG: C", "LC_ALL: C").replace("stop_seconds: 9", "volumes: {cache: /cache}")
    placed = HOSTS + "placements: {speak: [{host: gpu1, devices: [cpu], port: 8000}]}"

    assert container(step(tmp_path, placed, placed, catalogue, then), "gpu1").items == (
        "mount /weights/b /srv/weights/b, read-only joins",
        "mount /cache speak-8000-cache joins",
        "mount /weights/a /srv/weights/a, read-only goes",
        "port 10.0.0.12:8000 to 8880 → to 8881",
        "environment LC_ALL C joins",
        "environment LANG C goes",
        "stop grace period 9s → 30s",
    )


def test_another_time_to_start_recreates_no_container_that_does_not_know_of_it(tmp_path: Path) -> None:
    placed = HOSTS + "placements: {speak: [{host: gpu1, devices: [cpu]}]}"
    then = CATALOGUE.replace("port: 8880", "port: 8880, start_seconds: 60")

    found = step(tmp_path, placed, placed, CATALOGUE, then)

    assert found.hosts == (
        HostReview(
            "gpu1",
            "change",
            (
                PartReview(
                    "serving",
                    (
                        Difference(
                            "change",
                            "wait for",
                            "speak",
                            ("start seconds 1800 → 60",),
                            "in place: the container runs on",
                        ),
                    ),
                ),
            ),
        ),
    )
    assert found.interruptions == ()


def test_a_model_with_a_replica_that_goes_on_running_is_not_interrupted(tmp_path: Path) -> None:
    after = PLACED.replace("{host: gpu2, devices: [cpu]}", "{host: gpu2, devices: [cpu], port: 9000}")

    assert step(tmp_path, PLACED, after).interruptions == ()


def test_a_model_whose_replicas_are_recreated_one_after_another_is_not_interrupted(tmp_path: Path) -> None:
    then = CATALOGUE.replace("v0.33.0", "v0.34.0")

    assert step(tmp_path, PLACED, PLACED, CATALOGUE, then).interruptions == ()


def test_a_model_whose_only_replica_is_recreated_is_interrupted(tmp_path: Path) -> None:
    one = f"{HOSTS}placements: {{chat: [{{host: gpu1, devices: [cpu]}}]}}"
    then = CATALOGUE.replace("v0.33.0", "v0.34.0")

    assert step(tmp_path, one, one, CATALOGUE, then).interruptions == (Interruption("chat", 1800, ("gpu1",)),)


def test_a_model_of_which_one_replica_stays_and_is_recreated_while_the_other_goes_is_interrupted(
    tmp_path: Path,
) -> None:
    one = f"{HOSTS}placements: {{chat: [{{host: gpu1, devices: [cpu]}}]}}"
    then = CATALOGUE.replace("v0.33.0", "v0.34.0")

    (found,) = step(tmp_path, PLACED, one, CATALOGUE, then).interruptions

    assert found == Interruption("chat", 1800, ("gpu1", "gpu2"))


def test_a_model_that_moves_is_interrupted_though_no_container_is_recreated(tmp_path: Path) -> None:
    one, other = (
        f"{HOSTS}placements: {{chat: [{{host: {host}, devices: [cpu]}}]}}" for host in ("gpu1", "gpu2")
    )

    assert step(tmp_path, one, other).interruptions == (Interruption("chat", 1800, ("gpu1", "gpu2")),)


def test_a_model_that_was_not_served_cannot_be_interrupted(tmp_path: Path) -> None:
    assert step(tmp_path, HOSTS, PLACED).interruptions == ()


def test_a_model_that_appears_or_goes_is_told_with_its_urls(tmp_path: Path) -> None:
    url = "http://10.0.0.11:8080/m/chat/v1/chat/completions"
    placed = step(tmp_path, HOSTS, PLACED)
    (tmp_path / "back").mkdir()

    assert part(placed, "edge", "gateway").differences == (
        Difference("add", "model", "chat", (url,), "appears"),
    )
    assert part(step(tmp_path / "back", PLACED, HOSTS), "edge", "gateway").differences == (
        Difference("remove", "model", "chat", (url,), "its URLs answer 404"),
    )


def test_a_port_of_the_gateway_that_moves_closes_and_opens(tmp_path: Path) -> None:
    found = step(tmp_path, HOSTS, f"gateway: {{port: 80}}\n{HOSTS}")

    assert part(found, "edge", "gateway").differences == (
        Difference("add", "ports", items=("10.0.0.11:80 to models",), note="open"),
        Difference("remove", "ports", items=("10.0.0.11:8080 to models",), note="close"),
    )


def test_settings_of_the_machine_say_what_stays_behind(tmp_path: Path) -> None:
    before, after = (
        HOSTS.replace("[gateway]}", f"[gateway], system: {system}}}")
        for system in ("{packages: [jq], sysctl: {a.b: 1, c.d: 2}}", "{packages: [vim], sysctl: {c.d: 3}}")
    )

    assert part(step(tmp_path, before, after), "edge", "system").differences == (
        Difference("add", "packages", items=("vim",)),
        Difference("remove", "packages", items=("jq",), note="stay installed"),
        Difference("change", "kernel settings", items=("c.d 2 → 3",)),
        Difference(
            "remove", "kernel settings", items=("a.b 1",), note="keep their values until the host boots"
        ),
    )


def test_a_role_that_goes_leaves_what_it_set_up(tmp_path: Path) -> None:
    before = PLACED.replace(", {host: gpu2, devices: [cpu]}", "")
    after = HOSTS.replace("gpu1: {address: 10.0.0.12, roles: [models]}", "gpu1: {address: 10.0.0.12}")

    found = step(tmp_path, before, after)

    note = "no longer managed: an apply leaves what it set up as it is"
    assert part(found, "gpu1", "host").differences == (Difference("remove", "roles", items=("models",)),)
    assert part(found, "gpu1", "serving") == PartReview(
        "serving",
        (Difference("remove", "containers", items=("chat",), note=note),),
        left=(
            "/usr/lib/stackctl/drain.pl",
            "/etc/systemd/system/stackctl-drain.service",
            "/etc/stackctl/serving/compose.yaml",
        ),
    )


def test_another_way_in_is_told_with_references_for_secrets(tmp_path: Path) -> None:
    before = HOSTS.replace("[gateway]}", "[gateway], ssh: {user: ops, sudo: true, sudo_password: env:A}}")
    after = before.replace("env:A", "env:B, jump: [one, two]")

    assert part(step(tmp_path, before, after), "edge", "host").differences == (
        Difference("add", "ssh jump", items=("one, two",)),
        Difference("change", "ssh sudo password", items=("env:A → env:B",)),
    )


def test_a_capability_without_words_of_its_own_is_compared_by_its_fields(tmp_path: Path) -> None:
    found = project(tmp_path, HOSTS)
    fleet = load_fleet(found.root, "test")
    way_in = connection(fleet, found, "edge")

    def made(retries: int) -> Side:
        spec = Interruption("mesh", retries, ("a",) * retries)
        return Side("a side", fleet, (Job("edge", way_in, (Part("mesh", spec, ()),)),))

    assert part(review("test", made(1), made(2)), "edge", "mesh").differences == (
        Difference("change", "seconds", items=("1 → 2",)),
        Difference("change", "hosts", items=("a → a, a",)),
    )


def test_a_file_differs_in_its_mode_alone(tmp_path: Path) -> None:
    found = project(tmp_path, HOSTS)
    fleet = load_fleet(found.root, "test")
    way_in = connection(fleet, found, "edge")

    def made(mode: int) -> Side:
        files = (Artifact("/etc/app.conf", "a\n", mode=mode),)
        return Side("a side", fleet, (Job("edge", way_in, (Part("app", "the same", files),)),))

    (change,) = part(review("test", made(0o644), made(0o600)), "edge", "app").files
    assert (change.reason, change.diff) == ("mode 644 becomes 600", "")


@pytest.mark.parametrize(("seconds", "words"), [(90, "90 s"), (120, "2 min"), (301, "6 min")])
def test_a_duration_is_never_told_too_short(seconds: int, words: str) -> None:
    assert duration(seconds) == words
