"""The whole way on virtual hosts: from bare to answering models, drift, and everything that goes wrong.

The tests of this module share one lab and build on each other, in order.
"""

import io
import json
import shlex
import time
import wave
from collections.abc import Iterator

import pytest

from stackctl.lab import lifecycle
from stackctl.lab.spec import LabSpec
from tests.lab.site import ADDRESSES, NAME, Site, site_environment, site_models

pytestmark = pytest.mark.lab

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("project"), LabSpec.of(NAME, ADDRESSES))
    site.write(site_models(), site_environment())
    lifecycle.up(site.spec, lambda _: None)
    for host in ("gpu1", "gpu2"):
        site.on(host, "mkdir -p /srv/weights/none")
    yield site
    lifecycle.down(NAME)


def converges(site: Site) -> None:
    """The next apply mends whatever a test broke, and the one after finds nothing."""
    done = site.stackctl("apply", NAME, "--yes")
    assert (done.returncode, done.stderr.count("failed")) == (0, 0), done.stdout + done.stderr
    assert site.stackctl("plan", NAME, "--exit-code").returncode == 0


def test_bare_hosts_without_python_become_a_gateway_and_models(site: Site) -> None:
    assert site.on("gpu1", "command -v python3 || echo none") == "none\n"

    done = site.stackctl("apply", NAME, "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith("on 3 hosts, nothing left to do.")


def test_a_second_apply_finds_nothing_to_do(site: Site) -> None:
    done = site.stackctl("apply", NAME, "--yes")

    assert done.returncode == 0
    assert done.stdout == "edge, gpu1, gpu2  up to date\nNothing to do on 3 hosts.\n"


def test_the_doctor_finds_an_applied_host_sound(site: Site) -> None:
    done = site.stackctl("doctor", "gpu1", "--environment", NAME)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("gpu1 is sound: ")
    assert "containers of models  chat running, speak running" in done.stdout


def test_a_chat_completion_comes_back_through_the_gateway_by_both_urls(site: Site) -> None:
    for path in ("/v1/chat/completions", "/m/chat/v1/chat/completions"):
        status, _, body = site.request("POST", path, CHAT)

        assert status == 200
        assert json.loads(body)["choices"][0]["message"]["role"] == "assistant"


def test_a_streamed_completion_comes_back_piece_by_piece(site: Site) -> None:
    status, headers, body = site.request("POST", "/v1/chat/completions", {**CHAT, "stream": True})

    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    events = [line for line in body.decode().splitlines() if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    assert len(events) > 2


def test_speech_comes_back_as_a_wav_file(site: Site) -> None:
    request = {"model": "speak", "input": "all is well", "voice": "en", "response_format": "wav"}
    status, _, body = site.request("POST", "/v1/audio/speech", request)

    assert status == 200
    with wave.open(io.BytesIO(body)) as sound:
        assert sound.getnframes() / sound.getframerate() > 0.3


def test_asking_from_the_command_line_prints_the_answer(site: Site) -> None:
    done = site.stackctl("ask", NAME, "chat", "hello")

    assert done.returncode == 0
    assert len(done.stdout.strip()) > 0


def test_an_unknown_model_is_named_by_ask(site: Site) -> None:
    done = site.stackctl("ask", NAME, "nosuch", "hello")

    assert done.returncode == 2
    assert "status 404" in done.stderr
    assert "nosuch" in done.stderr


def test_stopping_one_replica_loses_no_later_request(site: Site) -> None:
    site.on("gpu2", "docker stop -t 0 stackctl-chat-1")

    statuses = [site.request("POST", "/v1/chat/completions", CHAT)[0] for _ in range(60)]

    assert statuses == [200] * 60
    converges(site)


def test_a_file_changed_by_hand_is_found_as_exactly_that_change_and_mended(site: Site) -> None:
    site.on("gpu1", "sed -i s/8000/8001/ /etc/stackctl/serving/compose.yaml")

    planned = json.loads(site.stackctl("plan", NAME, "--json").stdout)
    changes = [(host["host"], change["operation"]) for host in planned["hosts"] for change in host["changes"]]
    assert changes == [("gpu1", "write the compose project")]
    assert site.stackctl("plan", NAME, "--exit-code").returncode == 3
    drifted = site.stackctl("drift", NAME)
    assert drifted.returncode == 3
    assert "  ~ file /etc/stackctl/serving/compose.yaml  content changed" in drifted.stdout
    assert "edge, gpu2  as it was left" in drifted.stdout

    converges(site)
    assert site.stackctl("drift", NAME).returncode == 0
    assert "serving · write the compose project" in site.stackctl("history", NAME, "gpu1").stdout


def test_what_the_inventory_wants_anew_is_no_drift(site: Site) -> None:
    site.on("gpu1", "chmod 600 /etc/sysctl.d/60-stackctl.conf")
    with site.changed(gpu2={"system": {"time": "external", "packages": ["tree"]}}):
        drifted = json.loads(site.stackctl("drift", NAME, "--json").stdout)

    things = {each["host"]: [item["thing"] for item in each["things"]] for each in drifted["hosts"]}
    wanted = {each["host"]: [item["operation"] for item in each["wanted"]] for each in drifted["hosts"]}
    assert things == {"edge": [], "gpu1": ["file /etc/sysctl.d/60-stackctl.conf"], "gpu2": []}
    assert wanted == {"edge": [], "gpu1": [], "gpu2": ["install the base packages"]}
    converges(site)


def test_a_saved_plan_is_applied_as_it_was_or_not_at_all(site: Site) -> None:
    file = str(site.folder / "kept.plan")
    site.on("gpu1", "chmod 600 /etc/sysctl.d/60-stackctl.conf")
    site.stackctl("plan", NAME, "--out", file)
    site.on("gpu1", "chmod 640 /etc/sysctl.d/60-stackctl.conf")

    refused = site.stackctl("apply", file)
    assert refused.returncode == 1
    assert "new: system · write the system's settings (mode 640 becomes 644)" in refused.stderr
    assert site.on("gpu1", "stat -c %a /etc/sysctl.d/60-stackctl.conf") == "640\n"

    site.on("gpu1", "chmod 600 /etc/sysctl.d/60-stackctl.conf")
    done = site.stackctl("apply", file)
    assert done.returncode == 0, done.stderr
    assert site.on("gpu1", "stat -c %a /etc/sysctl.d/60-stackctl.conf") == "644\n"


def test_two_replicas_are_never_taken_at_once_and_a_gateway_last(site: Site) -> None:
    site.on("gpu1", "rm /etc/sysctl.d/60-stackctl.conf")
    site.on("gpu2", "rm /etc/sysctl.d/60-stackctl.conf")
    site.on("edge", "rm /etc/sysctl.d/60-stackctl.conf")

    told = site.stackctl("apply", NAME, "--yes").stderr.splitlines()

    begun = [line.split()[0] for line in told if line.endswith("write the system's settings …")]
    ended = [line.split()[0] for line in told if line.endswith("checking that nothing is left")]
    assert (begun, ended) == (["gpu1", "gpu2", "edge"], ["gpu1", "gpu2", "edge"])
    assert told.index(next(line for line in told if line.startswith("gpu2"))) > told.index(
        "gpu1  checking that nothing is left"
    )


def test_an_image_pinned_in_the_lock_is_pulled_by_its_digest(site: Site) -> None:
    digest = site.on("gpu1", "docker image inspect -f '{{index .RepoDigests 0}}' registry.lab:5000/lab/tts:1")
    lock = site.folder / "inventory/images.lock"
    lock.write_text(f"registry.lab:5000/lab/tts:1: {digest.strip().partition('@')[2]}\n")
    site.on("gpu1", "docker rm -f stackctl-speak-1; docker image rm -f registry.lab:5000/lab/tts:1")

    converges(site)

    running = site.on("gpu1", "docker inspect -f '{{.Config.Image}}' stackctl-speak-1").strip()
    assert running == digest.strip()
    lock.unlink()
    converges(site)


def test_an_unreachable_host_is_one_finding_and_the_others_go_on(site: Site) -> None:
    with site.changed(gone={"profile": "virtual", "address": "10.89.0.77", "ssh": {"timeout": 3}}):
        done = site.stackctl("apply", NAME, "--yes")

        assert done.returncode == 1
        assert "gone  10.89.0.77 port 22 " in done.stderr
        assert "edge, gpu1, gpu2  done, 1 change" in done.stdout
    converges(site)


def test_a_wrong_host_key_is_refused_and_the_others_go_on(site: Site) -> None:
    pin = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP7Q4UQUuZNCYpT2rKRrmuEeWeWGzBPRQVeZEPtWFP9r"
    with site.changed(gpu2={"ssh": {"host_keys": [pin]}}):
        done = site.stackctl("plan", NAME)

    assert done.returncode == 1
    assert "gpu2  the host key of 10.89.0.13 port 22 is not the one on record" in done.stderr
    assert "edge, gpu1  up to date" in done.stdout


def test_sudo_with_the_right_password_works_and_with_a_wrong_one_says_so(site: Site) -> None:
    right = {"user": "opspw", "sudo": True, "sudo_password": f"file:{site.spec.sudo_password}"}
    with site.changed(gpu1={"ssh": {"user": "ops", "sudo": True}}, gpu2={"ssh": right}):
        assert site.stackctl("plan", NAME, "--exit-code").returncode == 0
    with site.changed(gpu2={"ssh": {**right, "sudo_password": "command:echo wrong"}}):
        done = site.stackctl("plan", NAME)

    assert done.returncode == 1
    assert "gpu2  sudo did not accept the password" in done.stderr
    assert "edge, gpu1  up to date" in done.stdout


def test_a_full_disk_is_called_that_and_leaves_nothing_half_written(site: Site) -> None:
    site.on("gpu2", "rm -rf /etc/stackctl/serving && mkdir -p /etc/stackctl/serving")
    site.on("gpu2", "mount -t tmpfs -o size=4k tmpfs /etc/stackctl/serving")
    site.on("gpu2", "head -c 4096 /dev/zero > /etc/stackctl/serving/full")

    done = site.stackctl("apply", NAME, "--yes")

    assert done.returncode == 1
    assert "gpu2 · serving · write the compose project  the disk is full" in done.stderr
    assert site.on("gpu2", "ls -A /etc/stackctl/serving") == "full\n"
    site.on("gpu2", "umount /etc/stackctl/serving")
    converges(site)


LOCK = """$l = pack("s s x4 l! l! i x4", 1, 0, 0, 0, 0);
open F, ">/var/lib/dpkg/lock-frontend"; fcntl(F, 6, $l) or die;
open G, ">/run/apt-is-locked"; sleep 12"""
"""F_SETLK with a struct flock for writing: what apt and dpkg do; their locks are not flock's."""


def test_apt_locked_by_another_process_is_waited_for(site: Site) -> None:
    site.on("gpu2", f"setsid perl -e {shlex.quote(LOCK)} >/dev/null 2>&1 </dev/null &")
    site.on("gpu2", "for i in $(seq 50); do [ -e /run/apt-is-locked ] && break; sleep 0.1; done")
    began = time.monotonic()
    with site.changed(gpu2={"system": {"time": "external", "packages": ["tree"]}}):
        done = site.stackctl("apply", NAME, "--yes")

    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began > 8


def test_a_package_that_does_not_exist_is_named_and_the_others_go_on(site: Site) -> None:
    site.on("gpu1", "rm /etc/sysctl.d/60-stackctl.conf")
    with site.changed(gpu2={"system": {"time": "external", "packages": ["no-such-package"]}}):
        done = site.stackctl("apply", NAME, "--yes")

    assert done.returncode == 1
    assert "there is no package `no-such-package` in the host's sources" in done.stderr
    assert "gpu1  done" in done.stdout
    converges(site)


def test_an_image_that_cannot_be_pulled_is_named(site: Site) -> None:
    models = site_models()
    models["speak"]["image"] = "registry.lab:5000/lab/absent:1"
    site.write(models, site_environment())
    done = site.stackctl("apply", NAME, "--yes")
    site.write(site_models(), site_environment())

    assert done.returncode == 1
    assert "gpu1 · serving · run the models  the registry does not have this image" in done.stderr
    assert "lab/absent:1" in done.stderr
    converges(site)


def test_a_container_that_never_gets_healthy_shows_its_last_log_lines(site: Site) -> None:
    models = site_models()
    models["chat"]["env"] = {"FAKE_FAIL_START": 1}
    site.write(models, site_environment())
    done = site.stackctl("apply", NAME, "--yes", "--limit", "gpu2")
    site.write(site_models(), site_environment())

    assert done.returncode == 1
    assert "gpu2 · serving · run the models  chat is r" in done.stderr
    assert "runs as it did before again" in done.stderr
    assert "CUDA out of memory" in done.stderr
    converges(site)


def test_ctrl_c_in_the_middle_is_one_finding_and_the_next_apply_converges(site: Site) -> None:
    models = site_models()
    models["chat"]["env"] = {"FAKE_UNHEALTHY": 1}
    models["chat"]["start_seconds"] = 600
    site.write(models, site_environment())
    process = site.start("apply", NAME, "--yes", "--limit", "gpu2")
    site.wait("! curl -fsS -m 2 http://10.89.0.13:8000/health")
    time.sleep(2)
    began = time.monotonic()
    _, err = site.interrupt(process)
    site.write(site_models(), site_environment())

    assert process.returncode == 130
    assert time.monotonic() - began < 20
    assert "Traceback" not in err
    assert "gpu2 · serving · " in err
    assert "interrupted" in err
    converges(site)


def test_taking_a_model_away_removes_its_container(site: Site) -> None:
    environment = site_environment()
    environment["placements"] = {"speak": [{"host": "gpu1", "devices": ["cpu"]}]}
    site.write(site_models(), environment)

    converges(site)

    assert site.on("gpu1", "docker ps --format '{{.Names}}'") == "stackctl-speak-1\n"
    assert site.on("gpu2", "docker ps -a --format '{{.Names}}'") == ""
    site.write(site_models(), site_environment())
    converges(site)
