"""The repository's own lab inventory with a real vLLM on the CPU: what `make demo` shows, proven."""

import io
import json
import re
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl import project
from stackctl.capabilities import load_fleet
from stackctl.cli.lab import lab_of
from stackctl.fit.need import Room, need
from stackctl.lab import lifecycle
from stackctl.lab.status import status
from tests.lab.load import loaded
from tests.lab.site import Site

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).parents[2]
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 16}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The lab of inventory/lab.yaml; one that is up already is used and stays up."""
    spec = lab_of(load_fleet(project.at(ROOT).root, "lab"))
    was_up = status(spec).up
    lifecycle.up(spec, lambda _: None)
    yield Site(ROOT, spec)
    if not was_up:
        lifecycle.down(spec.name)


def test_bare_hosts_become_a_gateway_with_two_real_vllm_replicas(site: Site) -> None:
    done = site.stackctl("apply", "lab", "--yes", seconds=1800)

    assert done.returncode == 0, done.stdout + done.stderr
    assert site.stackctl("plan", "lab", "--exit-code").returncode == 0


def test_a_chat_completion_comes_back(site: Site) -> None:
    status, _, body = site.request("POST", "/v1/chat/completions", CHAT)

    assert status == 200
    assert json.loads(body)["usage"]["completion_tokens"] > 0


def test_a_streamed_completion_comes_back(site: Site) -> None:
    status, headers, body = site.request("POST", "/v1/chat/completions", {**CHAT, "stream": True})

    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    assert [line for line in body.decode().splitlines() if line.startswith("data: ")][-1] == "data: [DONE]"


def test_speech_comes_back_as_a_wav_file(site: Site) -> None:
    request = {"model": "speak", "input": "all is well", "voice": "en", "response_format": "wav"}
    status, _, body = site.request("POST", "/v1/audio/speech", request)

    assert status == 200
    with wave.open(io.BytesIO(body)) as sound:
        assert sound.getnframes() > 0


def test_the_cache_has_as_many_blocks_and_tokens_as_were_reckoned(site: Site) -> None:
    fleet = load_fleet(project.at(ROOT).root, "lab")
    placement = fleet.placements["chat"][0]
    config = json.loads(
        site.on(placement.host, f"cat {fleet.weights_on('chat', placement.host)}/config.json")
    )
    sizing = fleet.server("chat", placement).sizing
    assert sizing is not None
    found = need(config, {}, sizing, Room(cpu=True))

    url = f"http://{fleet.inside(placement.host)}:8000/metrics"
    lines = site.on(placement.host, f"curl -fsS {url}").splitlines()
    told = next(line for line in lines if line.startswith("vllm:cache_config_info{"))
    says = dict(re.findall(r'(\w+)="([^"]*)"', told))

    assert found.pool is not None
    assert sizing.cache is not None
    assert found.context is not None
    assert int(says["num_gpu_blocks"]) == sizing.cache // found.pool.block
    assert int(says["kv_cache_size_tokens"]) == found.pool.tokens(sizing.cache, found.context)
    assert found.exact


def test_stopping_one_replica_loses_no_later_request(site: Site) -> None:
    site.on("gpu2", "docker stop stackctl-chat-1")

    statuses = [site.request("POST", "/v1/chat/completions", CHAT)[0] for _ in range(40)]

    assert statuses == [200] * 40
    assert site.stackctl("apply", "lab", "--yes", seconds=600).returncode == 0


def test_an_update_of_two_replicas_loses_none_of_700_requests(site: Site, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "inventory", tmp_path / "inventory")
    catalogue = tmp_path / "inventory/models.yaml"
    catalogue.write_text(catalogue.read_text().replace("max_num_seqs: 4", "max_num_seqs: 6"))
    assert catalogue.read_text() != (ROOT / "inventory/models.yaml").read_text()
    changed = Site(tmp_path, site.spec)
    with loaded(site, CHAT) as load:
        done = changed.stackctl("apply", "lab", "--yes", seconds=1800)
        load.until(700)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "recreate chat: command (drained first, about " in done.stdout
    assert load.failed == {}
    assert load.asked >= 700
    assert min(load.ends["plain"], load.ends["streamed"]) > 100
    assert site.stackctl("apply", "lab", "--yes", seconds=1800).returncode == 0
