"""A compose project is planned from Compose's own hashes, and waited for until it answers."""

import json
from pathlib import Path

import pytest

from stackctl.core.artifact import Artifact
from stackctl.core.secret import SecretRef
from stackctl.plan.change import Change
from stackctl.views.plan import plan_json
from tests.engine.fleet import one_host
from tests.engine.local import LocalSession
from tests.ops.programs import program
from tests.ops.seen import seen

FILE = Artifact("/etc/stackctl/serving/compose.yaml", "services: {}\n")
PROJECT = "compose.project(name='run the models', project='stackctl', file=files_[0], images=['lab/chat:1'])"


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the last compose file is kept, instead of this machine's own place."""
    monkeypatch.setattr("stackctl.ops.composestate.KEPT", str(tmp_path / "kept"))
    return tmp_path / "kept/stackctl.compose.yaml"


def docker(tmp_path: Path, *, wanted: dict[str, str], running: list[list[str]], images: bool = True) -> None:
    """A host whose Compose wants these hashes and whose Docker runs these containers."""
    (tmp_path / "hashes").write_text("".join(f"{service} {value}\n" for service, value in wanted.items()))
    (tmp_path / "containers").write_text("".join(f"container {json.dumps(row)}\n" for row in running))
    script = f"""case "$*" in
      *'config --hash'*) cat >/dev/null; cat {tmp_path}/hashes;;
      'ps -a'*) cat {tmp_path}/containers;;
      'image inspect'*) exit {0 if images else 1};;
    esac"""
    program(tmp_path / "bin", "docker", script)


def planned(tmp_path: Path, file: Artifact = FILE, body: str = PROJECT) -> tuple[Change, ...]:
    run = one_host(tmp_path / "d", body, file, session=lambda _: LocalSession(tmp_path / "bin"))
    plan = run.plan()
    assert plan.findings == ()
    return plan.hosts[0].changes


def test_a_project_as_wanted_is_left_alone(tmp_path: Path) -> None:
    docker(tmp_path, wanted={"chat": "aa"}, running=[["chat", "aa", "running", "lab/chat:1"]])

    assert planned(tmp_path) == ()


def test_each_container_has_its_own_reason(tmp_path: Path) -> None:
    docker(
        tmp_path,
        wanted={"chat": "aa", "speak": "bb", "rank": "cc"},
        running=[
            ["chat", "old", "running", "lab/chat:1"],
            ["rank", "cc", "exited", "lab/rank:1"],
            ["gone", "dd", "running", "lab/gone:1"],
        ],
    )

    (change,) = planned(tmp_path)

    assert change.reason == (
        "remove gone; recreate chat, it was made from another configuration; start rank, it is exited; "
        "create speak"
    )


def test_a_missing_image_is_pulled_first(tmp_path: Path) -> None:
    docker(tmp_path, wanted={"chat": "aa"}, running=[], images=False)

    (change,) = planned(tmp_path)

    assert change.reason == "pull lab/chat:1; create chat"
    assert change.commands[0] == "docker pull -q -- lab/chat:1"


def test_without_docker_everything_is_to_be_created(tmp_path: Path) -> None:
    program(tmp_path / "bin", "docker", "exit 127")

    (change,) = planned(tmp_path)

    assert change.reason == "pull lab/chat:1; create the containers"
    assert change.action == "add"


GPU = "GPU-{0}{0}{0}{0}{0}{0}{0}{0}-0b3c-4f4e-9a66-2f1e0d9c8b7a"


def service(
    image: str = "lab/chat:1", port: int = 8000, command: str = "serve", gpu: str = "a", env: str = ""
) -> str:
    """A compose file of one service, as `core/compose.py` writes them."""
    return f"""
    services:
      chat:
        image: {image}
        command: [{command}]
        env_file: [{{path: {env or "/etc/stackctl/serving/chat.env"}, required: false}}]
        ports: [{{target: 8000, host_ip: 10.0.0.1, published: "{port}", protocol: tcp}}]
        deploy: {{resources: {{reservations: {{devices: [
          {{driver: cdi, device_ids: ["nvidia.com/gpu={GPU.format(gpu)}"], capabilities: [gpu]}}]}}}}}}
    """


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (service("lab/chat:v0.32.0"), service("lab/chat:v0.33.0"), ": image v0.32.0 becomes v0.33.0"),
        (service("r:5000/chat:1"), service("r:5000/talk:1"), ": image r:5000/chat:1 becomes r:5000/talk:1"),
        (
            service("lab/chat:1"),
            service(f"lab/chat@sha256:{'0123456789abcdef' * 4}"),
            ": image 1 becomes @0123456789ab",
        ),
        (service("a:1"), service("b:1", command="serve, --fast"), ": image a:1 becomes b:1, command"),
        (service(port=8000), service(port=8001), ": ports 10.0.0.1:8000 becomes 10.0.0.1:8001"),
        (service(gpu="a"), service(gpu="b"), ": devices GPU-aaaaaaaa becomes GPU-bbbbbbbb"),
        (service(), service().replace("deploy", "x-deploy"), ": x-deploy, devices GPU-aaaaaaaa becomes none"),
        (service().replace("chat:", "talk:", 1), service(), ", it was made from another configuration"),
        (service(), service(), ", it was made from another configuration"),
        ("not: [yaml", service(), ", it was made from another configuration"),
        ("", service(), ", it was made from another configuration"),
    ],
)
def test_a_container_is_recreated_for_what_differs_from_the_file_it_was_made_from(
    tmp_path: Path, kept: Path, before: str, after: str, why: str
) -> None:
    docker(tmp_path, wanted={"chat": "new"}, running=[["chat", "old", "running", "lab/chat:1"]])
    kept.parent.mkdir()
    kept.write_text(before)

    (change,) = planned(tmp_path, Artifact("/etc/compose.yaml", after))

    assert change.reason == f"recreate chat{why}"


def brought_up(tmp_path: Path, *, succeeds: bool = True, body: str = PROJECT) -> None:
    """An apply with a Compose that does or does not bring the project up, and changes the file meanwhile."""
    docker(tmp_path, wanted={"chat": "new"}, running=[["chat", "old", "running", "lab/chat:1"]])
    script = (tmp_path / "bin/docker").read_text()
    up = f"*' up '*) echo later >{tmp_path}/compose.yaml; exit {0 if succeeds else 1};;\n      'ps -a'"
    (tmp_path / "bin/docker").write_text(script.replace("'ps -a'", up, 1))
    file = Artifact(str(tmp_path / "compose.yaml"), service())
    (tmp_path / "compose.yaml").write_text(service())
    run = one_host(tmp_path / "d", body, file, session=lambda _: LocalSession(tmp_path / "bin"))
    assert bool(run.apply(run.plan()).hosts[0].findings) != succeeds


def test_the_file_that_a_project_was_brought_up_from_is_kept_for_root_alone(
    tmp_path: Path, kept: Path
) -> None:
    kept.parent.mkdir(0o755)

    brought_up(tmp_path)

    assert kept.read_text() == service()
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_a_project_that_did_not_come_up_keeps_the_file_of_before(tmp_path: Path, kept: Path) -> None:
    kept.parent.mkdir()
    kept.write_text("before")

    brought_up(tmp_path, succeeds=False)

    assert kept.read_text() == "before"
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_a_project_comes_up_where_its_file_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("in the way")

    brought_up(tmp_path)

    assert (tmp_path / "kept").read_text() == "in the way"


def test_a_compose_file_with_a_secret_in_it_is_not_kept(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVIEW_TOKEN", "s3cret-value")
    ref = SecretRef("env", "REVIEW_TOKEN")
    docker(tmp_path, wanted={"chat": "new"}, running=[])
    conf = tmp_path / "compose.yaml"
    conf.write_text(f"x: {ref.placeholder}\n")
    file = Artifact(str(conf), conf.read_text(), secrets=(ref,))
    run = one_host(tmp_path / "d", PROJECT, file, session=lambda _: LocalSession(tmp_path / "bin"))

    assert run.apply(run.plan()).hosts[0].findings == ()
    assert not kept.exists()


def test_a_container_whose_secrets_this_run_writes_is_recreated_for_them(tmp_path: Path) -> None:
    docker(
        tmp_path,
        wanted={"chat": "aa", "speak": "bb"},
        running=[["chat", "aa", "running", "lab/chat:1"], ["speak", "bb", "running", "lab/speak:1"]],
    )
    body = f"""
    secrets = files.block(name='write secrets', path={str(tmp_path / "chat.env")!r}, marker='m', lines=['A=1'])
    {PROJECT.replace(")", ", after=[secrets])")}
    """

    text = service(env=str(tmp_path / "chat.env"))
    changes = planned(tmp_path, Artifact("/etc/compose.yaml", text), body)

    assert changes[-1].reason == "recreate chat, its secrets change"


def test_the_variables_of_a_containers_files_are_in_the_hash_it_is_compared_by(tmp_path: Path) -> None:
    docker(tmp_path, wanted={}, running=[["chat", "hash of resolved", "running", "lab/chat:1"]])
    script = (tmp_path / "bin/docker").read_text()
    hashed = "*'config --hash'*) echo \"chat hash of $(cat)\";; *' config') cat >/dev/null; echo resolved;;\n'ps -a'"
    (tmp_path / "bin/docker").write_text(
        script.replace("*'config --hash'*)", "unused)").replace("'ps -a'", hashed, 1)
    )

    assert planned(tmp_path, Artifact("/etc/compose.yaml", service())) == ()


def test_what_is_planned_without_docker_is_not_known_for_sure(tmp_path: Path) -> None:
    program(tmp_path / "bin", "docker", "exit 127")
    run = one_host(tmp_path / "d", PROJECT, FILE, session=lambda _: LocalSession(tmp_path / "bin"))
    run.plan()

    (evaluation,) = run.readings["gpu1"].evaluations
    assert [command.known for command in evaluation.commands] == [False, False]


def test_many_containers_are_created_in_one_line(tmp_path: Path) -> None:
    docker(tmp_path, wanted=dict.fromkeys("abcde", "x"), running=[])

    assert planned(tmp_path)[0].reason == "create a, b, c and 2 more"


def test_containers_are_seen_without_the_hash_that_takes_in_their_secrets(tmp_path: Path) -> None:
    docker(
        tmp_path,
        wanted={"chat": "aa", "speak": "bb"},
        running=[
            ["chat", "old", "restarting", "lab/chat:1", "0123456789abcdef"],
            ["gone", "dd", "exited", "lab/gone:1"],
        ],
    )
    run = one_host(tmp_path / "d", PROJECT, FILE, session=lambda _: LocalSession(tmp_path / "bin"))

    assert seen(run) == {
        "container stackctl/chat": {"state": "running", "image": "lab/chat:1", "id": "0123456789ab"},
        "container stackctl/speak": {},
        "container stackctl/gone": {"state": "exited", "image": "lab/gone:1"},
    }


def test_a_secret_in_a_project_is_not_logged_even_for_debugging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REVIEW_TOKEN", "s3cret-value")
    ref = SecretRef("env", "REVIEW_TOKEN")
    file = Artifact("/etc/compose.yaml", f"x: {ref.placeholder}\n", secrets=(ref,))
    docker(tmp_path, wanted={"chat": "aa"}, running=[])
    caplog.set_level("DEBUG")

    run = one_host(tmp_path / "d", PROJECT, file, session=lambda _: LocalSession(tmp_path / "bin"))

    assert "s3cret-value" not in plan_json(run.plan()) + caplog.text


def test_a_docker_without_compose_is_called_that(tmp_path: Path) -> None:
    script = """case "$1" in
      compose) echo "unknown shorthand flag: 'p' in -p" >&2; exit 125;;
    esac"""
    program(tmp_path / "bin", "docker", script)
    run = one_host(tmp_path / "d", PROJECT, FILE, session=lambda _: LocalSession(tmp_path / "bin"))

    assert run.apply(run.plan()).hosts[0].findings[0].what == "Docker has no Compose on this host"
