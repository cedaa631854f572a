"""What is counted of a line of the gateway's log."""

import re
import socket
import sys
from pathlib import Path

import pytest

from stackctl.agents import gateway_metrics
from stackctl.agents.gateway_metrics import Counts, Histogram, receiver

RECORDED = Path(__file__).parent / "gateway.prom"
HEAD = b"<134>1 2026-11-24T17:14:37.279812+00:00 - haproxy 23587 - "


def line(
    values: str = "gateway POST 200 -- 40 250 1040 70 126",
    first: str = "700000",
    key: str = "-",
    model: str = "chat",
) -> bytes:
    told = (
        f'[stackctl@0 v="{values}" f="{first}" k="{key}" m="{model}"] 10.0.0.7:4711 POST /v1/chat/completions'
    )
    return HEAD + told.encode()


def counts(*lines: bytes) -> Counts:
    found = Counts(["chat", "speak"], ["team-a"])
    for each in lines:
        found.take(each)
    return found


def rows(*lines: bytes) -> list[str]:
    """What is exported and is not zero, without the buckets."""
    found = counts(*lines).text().splitlines()
    return [
        row
        for row in found
        if row[0] != "#" and "_bucket" not in row and row.rpartition(" ")[2] not in ("0", "0.0")
    ]


RECORD = (
    line(),
    line("gateway POST 200 -- 40 0 61240 70000 90000", "150000", "team-a"),
    line("gateway POST 503 sQ 12 60001 60013 70 217", "-"),
    line("gateway POST -1 CQ 0 264 304 67 0", "-"),
    line("gateway POST 200 CD 0 0 304 67 126", "1000", "nobody"),
    line("gateway POST 200 SD 0 0 9 67 126", "1000"),
    line("gateway POST 200 KD 0 0 9 67 126", "1000"),
    line("gateway POST 404 LR 45 -1 45 58 80", "-", model="nope"),
    line("gateway GET 200 LR 0 -1 0 58 80", "-"),
    HEAD + b"[stackctl@0 something else]",
    HEAD + b"- Server model-chat/gpu1 is UP",
)
"""One line of each kind."""


def test_the_exposition_is_as_recorded() -> None:
    assert counts(*RECORD).text() == RECORDED.read_text()


def test_a_whole_answer_is_timed_from_the_end_of_its_request() -> None:
    assert rows(line("gateway POST 200 -- 40 250 1040 70 126", "700000")) == [
        'stackctl_gateway_requests_total{model="chat",code="200"} 1',
        'stackctl_gateway_request_duration_seconds_sum{model="chat"} 1.0',
        'stackctl_gateway_request_duration_seconds_count{model="chat"} 1',
        'stackctl_gateway_first_byte_seconds_sum{model="chat"} 0.7',
        'stackctl_gateway_first_byte_seconds_count{model="chat"} 1',
        'stackctl_gateway_queue_seconds_sum{model="chat"} 0.25',
        'stackctl_gateway_queue_seconds_count{model="chat"} 1',
        'stackctl_gateway_request_bytes_sum{model="chat"} 70.0',
        'stackctl_gateway_request_bytes_count{model="chat"} 1',
        'stackctl_gateway_response_bytes_sum{model="chat"} 126.0',
        'stackctl_gateway_response_bytes_count{model="chat"} 1',
    ]


@pytest.mark.parametrize(
    "refused", ["gateway POST 503 sQ 12 -1 60013 70 217", "gateway POST 400 -- 9 -1 9 70 217"]
)
def test_an_error_has_a_status_and_sizes_and_no_duration(refused: str) -> None:
    found = rows(line(refused, "-"))

    assert found[0].startswith('stackctl_gateway_requests_total{model="chat",code="')
    assert [row for row in found if "seconds" in row] == []


@pytest.mark.parametrize(
    ("ended", "who"),
    [
        ("CD", "client"),
        ("cD", "client"),
        ("SD", "server"),
        ("sD", "server"),
        ("KD", "gateway"),
        ("CL", "client"),
    ],
)
def test_an_answer_that_does_not_end_is_broken_by_someone_and_has_no_duration(ended: str, who: str) -> None:
    found = rows(line(f"gateway POST 200 {ended} 0 -1 304 67 126", "1000"))

    assert f'stackctl_gateway_broken_answers_total{{model="chat",by="{who}"}} 1' in found
    assert [row for row in found if "seconds" in row] == []


def test_a_client_that_left_before_there_was_an_answer_has_a_status_of_its_own() -> None:
    assert rows(line("gateway POST -1 CQ 0 -1 304 67 0", "-"))[0] == (
        'stackctl_gateway_requests_total{model="chat",code="499"} 1'
    )


def test_a_key_that_is_known_is_a_label() -> None:
    found = [rows(line(key=key))[0] for key in ("team-a", "-", "made-up")]

    assert found == [
        'stackctl_gateway_requests_total{model="chat",key="team-a",code="200"} 1',
        'stackctl_gateway_requests_total{model="chat",code="200"} 1',
        'stackctl_gateway_requests_total{model="chat",code="200"} 1',
    ]


@pytest.mark.parametrize("model", ["-", "nope", 'chat\\" m=\\"speak', "\\u0000", "x" * 99, "chat "])
def test_a_name_that_a_client_made_up_is_no_label(model: str) -> None:
    found = counts(line("gateway POST 404 LR 45 -1 45 58 80", "-", model=model))

    assert rows(line("gateway POST 404 LR 45 -1 45 58 80", "-", model=model)) == [
        'stackctl_gateway_other_requests_total{code="404"} 1'
    ]
    assert set(found.models) == {"chat", "speak"}


def test_the_number_of_series_does_not_grow_with_what_clients_send() -> None:
    told = counts(*(line(model=f"made-up-{number}", key=f"k{number}") for number in range(1000)))

    assert len(told.text()) < len(counts().text()) + 100


def test_errors_of_whoever_reads_metrics_are_none_of_the_models() -> None:
    assert rows(line("metrics GET 404 LR 0 -1 0 58 80", "-", model="-")) == []


def test_a_cut_off_line_is_counted_and_a_message_of_haproxys_own_is_not() -> None:
    assert rows(line()[:100], HEAD + b"- Server model-chat/gpu1 is DOWN") == [
        "stackctl_gateway_log_unread_total 1"
    ]


def test_a_value_at_a_bound_belongs_below_it() -> None:
    seen = Histogram((0.5, 1))
    for value in (0.5, 0.6, 1, 7):
        seen.observe(value)

    assert list(seen.rows("s", 'model="a"')) == [
        's_bucket{model="a",le="0.5"} 1',
        's_bucket{model="a",le="1"} 3',
        's_bucket{model="a",le="+Inf"} 4',
        's_sum{model="a"} 9.1',
        's_count{model="a"} 4',
    ]


def test_lines_that_come_faster_than_they_are_read_are_counted() -> None:
    with receiver(("127.84.4.9", 0)) as lines, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as haproxy:
        lines.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(100):
            haproxy.sendto(line(), lines.getsockname())
        read = 0
        lines.setblocking(False)
        while True:
            try:
                lines.recv(8192)
            except BlockingIOError:
                break
            read += 1
        haproxy.sendto(line(), lines.getsockname())
        told = lines.recvmsg(8192, 64)[1]

    assert [int.from_bytes(data, sys.byteorder) for _, _, data in told] == [100 - read]
    assert 0 < read < 100


SAMPLE = re.compile(
    r'(stackctl_gateway_[a-z_]+?)(_bucket|_sum|_count)?(\{([a-z]+="[^"\\]*",?)+\})? [0-9.e+]+'
)


def test_the_recorded_exposition_is_sound() -> None:
    text = RECORDED.read_text()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    helped = re.findall(r"^# HELP (\S+) [A-Z].*\.$", text, re.MULTILINE)
    samples = [row for row in text.splitlines() if not row.startswith("#")]

    assert list(kinds) == helped
    assert len(samples) == len({row.rpartition(" ")[0] for row in samples})
    for row in samples:
        found = SAMPLE.fullmatch(row)
        assert found is not None, row
        histogram = kinds.get(found[1]) == "histogram"
        assert histogram == bool(found[2]), row
        assert histogram or found[1].endswith("_total"), row
    for family in (name for name, kind in kinds.items() if kind == "histogram"):
        assert family.endswith(("_seconds", "_bytes"))
        for model in ("chat", "speak"):
            buckets = [
                float(row.split()[1])
                for row in samples
                if row.startswith(f'{family}_bucket{{model="{model}"')
            ]
            (count,) = (row for row in samples if row.startswith(f'{family}_count{{model="{model}"'))
            assert buckets == sorted(buckets)
            assert buckets[-1] == float(count.split()[1])


def test_it_needs_nothing_but_the_standard_library() -> None:
    text = Path(gateway_metrics.__file__).read_text()
    imports = {
        line.split()[1].partition(".")[0]
        for line in text.splitlines()
        if line.startswith(("import ", "from "))
    }

    assert imports <= sys.stdlib_module_names
