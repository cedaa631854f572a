"""Weights of a repository on two hosts: the first has them from a hub, the second from the first.

The tests of this module share one lab and build on each other, in order.
"""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from stackctl import namespace
from stackctl.lab import lifecycle
from stackctl.lab.spec import REGISTRY_ADDRESS, LabSpec
from tests.lab.site import FAKE, Site

pytestmark = pytest.mark.lab

LAB = "t-weights"
HUB = f"http://{REGISTRY_ADDRESS}:8088"
COMMIT = "c" * 40
CONTENT = {"config.json": b'{"layers": 2}', "model.safetensors": bytes(range(256)) * 40_000}
TARGET = f"/srv/weights/hub/lab/tiny/{COMMIT}"
UNITS = "systemctl list-units --plain --no-legend 'stackctl-fetch-*' | wc -l"


class Hub(BaseHTTPRequestHandler):
    """It stops in the middle of the model for as long as `held` is set."""

    asked: list[tuple[str, str | None]]
    open: threading.Event

    def do_GET(self) -> None:
        path, wanted = self.path.rpartition("/")[2], self.headers.get("Range")
        self.asked.append((path, wanted))
        start = int(wanted[6:-1]) if wanted else 0
        content = CONTENT[path]
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        middle = max(start, len(content) // 2) if path == "model.safetensors" else len(content)
        self.wfile.write(content[start:middle])
        if middle < len(content):
            self.open.wait(120)
            self.wfile.write(content[middle:])

    def log_message(self, *_: object) -> None:
        pass


def environment() -> dict[str, Any]:
    host = {"roles": ["models"], "system": {"time": "external"}}
    return {
        "environment": LAB,
        "lab": {},
        "hosts": {
            "gpu1": {**host, "address": "10.89.0.12", "roles": ["models", "gateway"]},
            "gpu2": {**host, "address": "10.89.0.13"},
        },
        "placements": {"chat": [{"host": "gpu1", "devices": ["cpu"]}, {"host": "gpu2", "devices": ["cpu"]}]},
        "weights": {"endpoint": HUB},
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    hosts = {"gpu1": "10.89.0.12", "gpu2": "10.89.0.13"}
    site = Site(tmp_path_factory.mktemp("project"), LabSpec.of(LAB, hosts, images=("fake-model",)))
    site.write({"chat": {**FAKE, "weights": {"repo": "lab/tiny"}}}, environment())
    files = {
        path: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in CONTENT.items()
    }
    lock = {"lab/tiny@main": {"commit": COMMIT, "files": files}}
    (site.folder / "inventory/weights.lock").write_text(yaml.safe_dump(lock))
    lifecycle.up(site.spec, lambda _: None)
    yield site
    lifecycle.down(LAB)


@pytest.fixture(scope="module")
def hub(site: Site) -> Iterator[type[Hub]]:
    Hub.asked, Hub.open = [], threading.Event()
    internet = site.spec.namespace("internet")
    server = namespace.within(internet, lambda: ThreadingHTTPServer((str(REGISTRY_ADDRESS), 8088), Hub))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield Hub
    Hub.open.set()
    server.shutdown()
    server.server_close()


def wait(site: Site, host: str, condition: str, seconds: int = 60) -> None:
    script = f"for n in $(seq {seconds * 5}); do {condition} && exit 0; sleep 0.2; done; exit 1"
    site.on(host, script)


def test_a_plan_tells_what_is_fetched_and_how_much_it_is(site: Site) -> None:
    told = site.stackctl("plan", LAB, "--limit", "gpu1").stdout

    assert f"fetch lab/tiny 10.2 MB from gpu2 or {REGISTRY_ADDRESS}:8088" in told


def test_a_fetch_goes_on_when_its_operator_is_killed_and_the_next_apply_waits_along(
    site: Site, hub: type[Hub]
) -> None:
    first = site.start("apply", LAB, "--yes", "--limit", "gpu1")
    wait(site, "gpu1", '[ -n "$(find /srv/weights/hub/.partial -size +4M 2>/dev/null)" ]', 400)
    first.kill()
    first.communicate()

    running = site.on("gpu1", UNITS).strip()
    second = site.start("apply", LAB, "--yes", "--limit", "gpu1")
    hub.open.set()
    out, err = second.communicate(timeout=400)

    assert running == "1"
    assert second.returncode == 0, out + err
    # A hub that is silent for too long is asked for the rest.
    assert [path for path, wanted in hub.asked if wanted is None] == ["config.json", "model.safetensors"]
    assert site.on("gpu1", f"cd {TARGET} && sha256sum model.safetensors").split()[0] == (
        hashlib.sha256(CONTENT["model.safetensors"]).hexdigest()
    )
    assert site.on("gpu1", UNITS).strip() == "0"
    assert "mount" in site.on("gpu1", f"docker inspect $(docker ps -q) | grep -q {TARGET} && echo mount")


def test_another_host_has_them_from_the_first_whatever_was_left_of_an_earlier_attempt(
    site: Site, hub: type[Hub]
) -> None:
    site.on("gpu2", f"mkdir -p {TARGET.replace('/hub/', '/hub/.partial/')}/incoming")
    sha = hashlib.sha256(CONTENT["model.safetensors"]).hexdigest()
    part = f"{TARGET.replace('/hub/', '/hub/.partial/')}/incoming/{sha}"
    site.on("gpu2", f"head -c 1000 /dev/zero >{part}")
    before = len(hub.asked)

    done = site.stackctl("apply", LAB, "--yes", seconds=600)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(hub.asked) == before, "the second host has it from the first"
    assert site.on("gpu2", f"cat {TARGET}/model.safetensors | sha256sum").split()[0] == sha
    assert site.stackctl("plan", LAB).stdout.splitlines()[-1] == "Nothing to do on 2 hosts."
    assert site.stackctl("drift", LAB).returncode == 0


def test_models_answer_on_their_weights(site: Site) -> None:
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}

    status, _, answer = site.request("POST", "/v1/chat/completions", body, ("10.89.0.12", 8080))

    assert status == 200, answer


def test_what_is_served_to_other_hosts_is_the_weights_alone(site: Site) -> None:
    ask = "curl -s -o /dev/null -w '%{http_code} '"
    site.on(
        "gpu1",
        "mkdir -p /srv/weights/hub/cgi-bin /srv/weights/hub/.partial/x; cd /srv/weights/hub;"
        " touch .partial/x/y; printf '#!/bin/sh\\necho; id\\n' >cgi-bin/x; chmod 755 cgi-bin/x",
    )
    base = "http://10.89.0.12:8409"

    told = site.on(
        "gpu2",
        f"for p in lab/tiny/{COMMIT}/config.json .partial/x/y cgi-bin/x ../../etc/passwd; do"
        f" {ask} --path-as-is {base}/$p; done; curl -s {base}/cgi-bin/x",
    )
    site.on("gpu1", "rm -r /srv/weights/hub/cgi-bin /srv/weights/hub/.partial/x")

    assert told.split()[:1] == ["200"]
    assert "uid=" not in told
    assert told.split()[1] in ("403", "404")
    assert told.split()[3] in ("400", "404")


def test_what_nobody_needs_is_removed_and_what_runs_is_left(site: Site) -> None:
    old = f"/srv/weights/hub/lab/old/{'d' * 40}"
    site.on("gpu1", f"mkdir -p {old} && head -c 5000 /dev/zero >{old}/model.safetensors")

    listed = site.stackctl("weights", "list", LAB)
    done = site.stackctl("weights", "prune", LAB, "--yes")

    assert f"  lab/old@{'d' * 12}    5.0 KB  unused\n  lab/tiny@{'c' * 12}  10.2 MB  chat\n" in listed.stdout
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Removed 1 directory, 5.0 KB."), done.stderr
    assert site.on("gpu1", "ls /srv/weights/hub/lab") == "tiny\n"
    assert site.stackctl("plan", LAB).stdout.splitlines()[-1] == "Nothing to do on 2 hosts."
