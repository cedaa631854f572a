from typing import Any

from stackctl.servers.base import Endpoint
from stackctl.servers.custom import Custom


def custom(**settings: Any) -> Custom:
    return Custom.model_validate(
        {"server": "custom", "image": "c:1", "api": ("speech",), "port": 80, **settings}
    )


def test_it_is_talked_to_as_written() -> None:
    assert custom(metrics="/m", max_requests=2).endpoint() == Endpoint(80, "/health", "/m", 2)


def test_its_arguments_and_volumes_are_those_written() -> None:
    launch = custom(args=("--voice", "en"), volumes={"cache": "/var/cache"}, stop_seconds=5).launch("speak")

    assert (launch.command, launch.volumes, launch.stop_seconds) == (
        ("--voice", "en"),
        {"cache": "/var/cache"},
        5,
    )


def test_nobody_knows_whether_its_image_has_curl() -> None:
    assert not custom().launch("speak").curl
