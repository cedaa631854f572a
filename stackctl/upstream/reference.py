"""An image's name taken apart, as Docker does it."""

from dataclasses import dataclass

HUB = "docker.io"
_HUBS_ADDRESS = "registry-1.docker.io"


@dataclass(frozen=True)
class Reference:
    """Where an image is found."""

    image: str
    """As the catalogue writes it."""
    registry: str
    """As `docker.registries` names it; Docker Hub is `docker.io`."""
    repository: str
    tag: str


def address(registry: str) -> str:
    """Name and port that a registry answers at."""
    return _HUBS_ADDRESS if registry == HUB else registry


def parsed(image: str) -> Reference:
    """`nginx:1` is `library/nginx` of Docker Hub; a first part with a dot or a port is a registry of its own."""
    name, _, tag = image.rpartition(":")
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or {".", ":"} & set(first)):
        registry, repository = first, rest
    else:
        registry, repository = HUB, name
    if registry == HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(image, registry, repository, tag)
