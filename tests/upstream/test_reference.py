"""Where the image of a name is found."""

import pytest

from stackctl.upstream.reference import Reference, address, parsed


@pytest.mark.parametrize(
    ("image", "registry", "repository", "tag"),
    [
        ("nginx:1.27", "docker.io", "library/nginx", "1.27"),
        ("vllm/vllm-openai:v0.33.0", "docker.io", "vllm/vllm-openai", "v0.33.0"),
        ("docker.io/nginx:1.27", "docker.io", "library/nginx", "1.27"),
        ("ghcr.io/remsky/kokoro:1", "ghcr.io", "remsky/kokoro", "1"),
        ("registry.lan:5000/tts:1.4", "registry.lan:5000", "tts", "1.4"),
        ("localhost/tts:1.4", "localhost", "tts", "1.4"),
    ],
)
def test_a_name_is_taken_apart_as_docker_does_it(
    image: str, registry: str, repository: str, tag: str
) -> None:
    assert parsed(image) == Reference(image, registry, repository, tag)


def test_docker_hub_answers_under_a_name_of_its_own() -> None:
    assert address("docker.io") == "registry-1.docker.io"
    assert address("registry.lan:5000") == "registry.lan:5000"
