from typing import Any

import pytest
from pydantic import ValidationError

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


def test_it_may_be_shut_in() -> None:
    launch = custom(
        user="1000:1000", read_only=True, confined=True, tmpfs=("/scratch",), shm_size="1G"
    ).launch("x")

    assert (launch.user, launch.read_only, launch.confined, launch.temporary, launch.shared_memory) == (
        "1000:1000",
        True,
        True,
        ("/scratch",),
        "1G",
    )


def test_it_may_answer_paths_of_its_own_alone() -> None:
    assert custom(api=(), paths=("/v1/depth",)).own_paths == ("/v1/depth",)


def test_it_answers_something() -> None:
    with pytest.raises(ValidationError, match="answers nothing"):
        custom(api=())


def test_a_secret_is_no_argument_of_its_program() -> None:
    with pytest.raises(ValidationError, match="is a secret in clear"):
        custom(entrypoint=("serve", "--api-key=0123"))
