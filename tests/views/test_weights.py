"""Weights that hosts keep, as people read them."""

from stackctl.doctor.weights import HostWeights, Kept
from stackctl.views.weights import unused_text, weights_text

USED = Kept(f"Qwen/Qwen3-32B/{'1' * 40}", 19_300_000_000, 19_300_000_000, True, ("chat", "draft"), ("chat",))
OLD = Kept(f"Qwen/Qwen3-8B/{'2' * 40}", 16_000_000_000, None, True, (), ())
RUNNING = Kept(f"a/b/{'3' * 40}", 2_000, None, True, (), ("speak",))
COMING = Kept(f"a/c/{'4' * 40}", 4_000_000, 10_000_000, False, ("rank",), ())
GIVEN_UP = Kept(f"a/d/{'5' * 40}", 7_000, None, False, (), ())
HOST = HostWeights("gpu1", "/data/hub", 1_200_000_000_000, (USED, OLD, RUNNING, COMING, GIVEN_UP))


def test_a_line_a_directory_and_the_sum_last() -> None:
    assert weights_text([HOST, HostWeights("gpu2", "/srv/weights/hub", None, ())]) == (
        "gpu1  /data/hub, 1.2 TB free\n"
        "  Qwen/Qwen3-32B@111111111111            19.3 GB  chat, draft\n"
        "  Qwen/Qwen3-8B@222222222222             16.0 GB  unused\n"
        "  a/b@333333333333                        2.0 KB  container speak\n"
        "  a/c@444444444444             4.0 MB of 10.0 MB  rank\n"
        "  a/d@555555555555                 7.0 KB so far  unused\n"
        "gpu2  /srv/weights/hub, nothing fetched\n"
        "5 directories, 35.3 GB; 2 unused, 16.0 GB."
    )


def test_only_what_nobody_needs_is_to_be_removed() -> None:
    assert unused_text([HOST]) == (
        "gpu1  /data/hub, 1.2 TB free\n"
        "  Qwen/Qwen3-8B@222222222222        16.0 GB  unused\n"
        "  a/d@555555555555            7.0 KB so far  unused\n"
        "To remove: 2 directories, 16.0 GB."
    )


def test_where_all_is_used_there_is_nothing_to_ask() -> None:
    assert unused_text([HostWeights("gpu1", "/data/hub", 1, (USED,))]) == "All weights are used."
