import pytest

from stackctl.servers.in_clear import smells_of_secret


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "--api-key", "DB_PASSWORD", "aws_secret_access_key", "sudo_password"]
)
def test_these_names_are_names_of_secrets(name: str) -> None:
    assert smells_of_secret(name)


@pytest.mark.parametrize(
    "name", ["MAX_TOKENS", "TOKENIZERS_PARALLELISM", "KEY", "--keyboard", "host_keys", "PASS"]
)
def test_these_names_are_not(name: str) -> None:
    assert not smells_of_secret(name)
