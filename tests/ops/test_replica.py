"""A replica is drained, replaced, waited for, warmed up and let back in, or has its former self again."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stackctl.capabilities.serving import Running
from stackctl.core.artifact import Artifact
from stackctl.core.finding import Finding
from stackctl.ops.room import in_turn
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program

PROJECT = "compose.project(name='run the models', project='stackctl', file=files_[0], images=['lab/chat:1'], running=spec)"
CHAT = Running("chat", "chat", "lab/chat:1", "http://10.0.0.1:8000/health", 30, stop_seconds=1)
IDLE = "0 0 172.18.0.2:8000 10.0.0.9:5\n\t cubic lastsnd:31000 lastrcv:31002 lastack:31000\n"
ASKED = "0 0 172.18.0.2:8000 10.0.0.9:5\n\t cubic lastsnd:90000 lastrcv:31002 lastack:31000\n"


def compose(version: str, variables: str = "") -> str:
    return f"""
    services:
      chat:
        image: lab/chat:1
        command: [{version}]
        env_file: [{{path: {variables or "/nowhere.env"}, required: false}}]
        stop_grace_period: 1s
        ports: [{{target: 8000, host_ip: 10.0.0.1, published: "8000"}}]
    """


@dataclass(frozen=True)
class Model:
    """A host on which `chat` runs as `good`, from programs that say what they are asked to do."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("drains", "kept"):
            (self.folder / name).mkdir()
        (self.folder / "kept/stackctl.compose.yaml").write_text(compose("good"))
        (self.folder / "runs.yaml").write_text(compose("good"))
        (self.folder / "wanted.yaml").write_text(compose("better"))
        (self.folder / "connections").write_text("")
        (self.folder / "log").write_text("")
        (self.folder / "server").write_text("loading weights\n")
        (self.folder / "restarts").write_text("3 restarting false\n")
        container = json.dumps(["chat", "good", "running", "lab/chat:1", "abc"])
        (self.folder / "containers").write_text(f"container {container}\n")
        programs = self.folder / "bin"
        program(programs, "docker", _DOCKER.replace("@", str(self.folder)))
        program(programs, "curl", _CURL.replace("@", str(self.folder)))
        program(programs, "nsenter", f"echo looked >>{self.folder}/log; cat {self.folder}/connections")
        program(programs, "sleep", f"[ $1 != 2 ] || echo 'told the gateways' >>{self.folder}/log")

    def apply(self, *running: Running) -> Finding | None:
        file = Artifact(str(self.folder / "wanted.yaml"), (self.folder / "wanted.yaml").read_text())
        run = one_host(
            self.folder / "d",
            PROJECT,
            file,
            spec=running,
            session=lambda _: LocalSession(self.folder / "bin"),
        )
        plan = run.plan()
        assert plan.findings == ()
        (self.folder / "reason").write_text("".join(change.reason for change in plan.hosts[0].changes))
        return next(iter(run.apply(plan).hosts[0].findings), None)

    @property
    def log(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()

    @property
    def reason(self) -> str:
        return (self.folder / "reason").read_text()

    @property
    def runs(self) -> str:
        """The version that runs."""
        return next(
            word for word in ("good", "better", "broken") if word in (self.folder / "runs.yaml").read_text()
        )


_DOCKER = """case "$*" in
  *'config --hash'*) cat >/dev/null; grep -q better @/runs.yaml && echo chat good || echo chat better;;
  'ps -a'*) cat @/containers;;
  *' ps -aq '*) echo abc;;
  *' up '*--no-deps*)
    while [ "$1" != -f ]; do shift; done
    cp "$2" @/runs.yaml
    [ ! -e @/loads ] || touch @/loading
    echo "up ${2##*/}, drained: $(ls @/drains)" >>@/log
    ;;
  *' up '*) echo 'up all' >>@/log;;
  *Pid*) echo 1;;
  *StartedAt*) date -d '50 seconds ago' +%FT%TZ -u;;
  *RestartCount*) cat @/restarts;;
  *logs*) cat @/server;;
  stop*|rm*) echo "$*, drained: $(ls @/drains)" >>@/log;;
esac"""
_CURL = """case "$*" in
  */health) [ ! -e @/loading ] || { rm @/loading; exit 7; }; ! grep -q broken @/runs.yaml;;
  *) echo "asked $*, drained: $(ls @/drains)" | sed 's/asked .* -d/asked/' >>@/log; cat @/warm 2>/dev/null || printf 200;;
esac"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setattr("stackctl.ops.composestate.KEPT", str(tmp_path / "kept"))
    monkeypatch.setattr("stackctl.ops.composestate.DRAINS", str(tmp_path / "drains"))
    return Model(tmp_path)


def test_a_replica_is_replaced_once_gateways_know_and_nobody_is_served(model: Model) -> None:
    warm_up = ("http://10.0.0.1:8000/v1/completions", '{"model": "chat"}')

    assert model.apply(replace(CHAT, warm_up=warm_up)) is None

    assert model.log == [
        "told the gateways",
        "looked",
        "up wanted.yaml, drained: chat",
        'asked {"model": "chat"} -- http://10.0.0.1:8000/v1/completions, drained: chat',
        "up all",
    ]
    assert list((model.folder / "drains").iterdir()) == []
    assert model.runs == "better"


def test_what_is_still_answered_is_waited_for_as_long_as_the_server_may_take(model: Model) -> None:
    (model.folder / "connections").write_text(IDLE + ASKED)

    assert model.apply(replace(CHAT, stop_seconds=4)) is None

    assert model.log.count("looked") > 1
    assert model.runs == "better"


def test_a_connection_that_was_answered_long_ago_is_not_waited_for(model: Model) -> None:
    (model.folder / "connections").write_text(IDLE)

    assert model.apply(CHAT) is None

    assert model.log.count("looked") == 1


def test_a_replica_that_does_not_come_up_has_its_former_self_and_variables_again(model: Model) -> None:
    variables = model.folder / "chat.env"
    variables.write_text("A='new'\n")
    (model.folder / "kept/stackctl.chat.env").write_text("A='old'\n")
    (model.folder / "wanted.yaml").write_text(compose("broken", str(variables)))

    finding = model.apply(CHAT)

    assert finding is not None
    assert finding.what == "chat is restarting, restarted 3 times; chat runs as it did before again"
    assert finding.detail == ("loading weights",)
    assert [line for line in model.log if line.startswith("up")] == [
        "up wanted.yaml, drained: chat",
        "up stackctl.compose.yaml, drained: chat",
    ]
    assert model.runs == "good"
    assert list((model.folder / "drains").iterdir()) == []
    assert (variables.read_text(), variables.stat().st_mode & 0o777) == ("A='old'\n", 0o600)


def test_a_replica_that_had_not_worked_either_has_nothing_to_go_back_to(model: Model) -> None:
    (model.folder / "runs.yaml").write_text(compose("broken"))
    (model.folder / "wanted.yaml").write_text(compose("broken"))

    finding = model.apply(CHAT)

    assert finding is not None
    assert finding.what == "chat is restarting, restarted 3 times"
    assert [line for line in model.log if line.startswith("up")] == ["up wanted.yaml, drained: chat"]


@pytest.mark.parametrize(
    ("restarts", "log", "cause"),
    [
        ("3 restarting true", "", "the host's memory ran out"),
        (
            "3 restarting false",
            "CUDA out of memory. Tried to allocate",
            "its device's memory does not suffice",
        ),
        (
            "3 restarting false",
            "ValueError: No available memory for the cache blocks.",
            "its device's memory does not suffice",
        ),
    ],
)
def test_a_start_that_runs_out_of_memory_is_called_that(
    model: Model, restarts: str, log: str, cause: str
) -> None:
    (model.folder / "wanted.yaml").write_text(compose("broken"))
    (model.folder / "restarts").write_text(restarts)
    (model.folder / "server").write_text(f"loading\n{log}\n")

    finding = model.apply(replace(CHAT, arithmetic="weights 40 GiB, KV cache 12 GiB, 48 GiB there"))

    assert finding is not None
    assert f"restarted 3 times: {cause}; chat runs as it did before again" in finding.what
    assert finding.detail[-1] == "weights 40 GiB, KV cache 12 GiB, 48 GiB there"


def test_a_replica_whose_first_request_fails_is_not_let_in(model: Model) -> None:
    (model.folder / "warm").write_text("500")

    finding = model.apply(replace(CHAT, warm_up=("http://10.0.0.1:8000/v1/completions", "{}")))

    assert finding is not None
    assert finding.what == (
        "chat answers health checks, and its first request with status 500; chat runs as it did before again"
    )
    assert model.runs == "good"


@pytest.mark.parametrize(
    ("running", "cost"),
    [
        (CHAT, "up to 30 s without this replica"),
        (replace(CHAT, loads_seconds=90), "about 90 s without this replica"),
        (replace(CHAT, alone=True), "up to 30 s without service"),
    ],
)
def test_a_plan_says_for_how_long_a_replica_is_missing(model: Model, running: Running, cost: str) -> None:
    model.apply(running)

    assert model.reason == f"recreate chat: command (drained first, {cost})"


def test_a_start_that_was_measured_tells_more_than_what_is_assumed(model: Model) -> None:
    (model.folder / "kept/stackctl.chat.seconds").write_text("52\n")

    model.apply(replace(CHAT, loads_seconds=90))

    assert model.reason == "recreate chat: command (drained first, about 52 s without this replica)"


def test_how_long_a_start_took_is_kept_for_the_next_plan(model: Model) -> None:
    (model.folder / "loads").touch()
    (model.folder / "restarts").write_text("0 running false\n")

    assert model.apply(CHAT) is None

    assert int((model.folder / "kept/stackctl.chat.seconds").read_text()) in range(50, 100)


def test_a_drain_that_a_run_has_left_is_ended(model: Model) -> None:
    (model.folder / "runs.yaml").write_text(compose("better"))
    (model.folder / "drains/chat").write_text("999999999\n")

    assert model.apply(CHAT) is None

    assert model.reason == "let chat back in, which was left drained"
    assert list((model.folder / "drains").iterdir()) == []


def test_a_replica_that_is_wanted_no_more_is_drained_and_removed(model: Model) -> None:
    container = json.dumps(["gone", "x", "running", "lab/chat:1", "abc"])
    (model.folder / "containers").write_text(f"container {container}\n")
    (model.folder / "kept/stackctl.compose.yaml").write_text(compose("good").replace("chat:", "gone:", 1))

    assert model.apply(CHAT) is None

    assert model.reason == "remove gone; create chat"
    assert model.log == [
        "told the gateways",
        "looked",
        "stop -- abc, drained: gone",
        "rm -f -- abc, drained: gone",
        "up all",
    ]


def placed(**ports: str) -> dict[str, dict[str, object]]:
    return {name: {"ports": [{"host_ip": "10.0.0.1", "published": port}]} for name, port in ports.items()}


def test_who_gives_up_a_port_is_replaced_before_who_takes_it() -> None:
    before, after = placed(a="1", b="2", c="3"), placed(a="2", b="4", c="3")

    assert in_turn(before, after, ["a", "b", "c"]) == (("b", "c", "a"), ())


def test_services_that_change_places_are_told_apart() -> None:
    before, after = placed(a="1", b="2", c="3"), placed(a="2", b="1", c="4")

    assert in_turn(before, after, ["a", "b", "c"]) == (("c",), ("a", "b"))
