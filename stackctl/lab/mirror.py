"""Where this machine gets its Debian packages: the lab's hosts get theirs from the same place."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from stackctl.core.finding import FailureError, Finding
from stackctl.lab.shell import run

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Mirror:
    """The package sources of this machine."""

    archive: str
    """Address of the Debian archive, without a slash at its end."""
    security: str | None
    """Address of the security archive; None where this machine uses none."""
    schemes: tuple[tuple[str, str], ...]
    """Every host that apt may ask here, and how: http or https."""
    proxy: str | None = None
    """What apt sends its requests through here."""

    def sources(self, suite: str, components: str = "main") -> list[str]:
        """Lines for a sources.list of the suite."""
        lines = [
            f"deb {self.archive} {suite} {components}",
            f"deb {self.archive} {suite}-updates {components}",
        ]
        if self.security:
            lines.append(f"deb {self.security} {suite}-security {components}")
        return lines

    def plain_sources(self, suite: str, components: str = "main") -> list[str]:
        """The same for a lab host: it asks the lab's proxy in plain HTTP, which asks as this machine does."""
        return [line.replace("deb https://", "deb http://") for line in self.sources(suite, components)]


def read_mirror() -> Mirror:
    """The mirror from this machine's apt configuration."""
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI)"])
    proxy = run(["apt-config", "dump", "--format", "%v%n", "Acquire::http::Proxy"]).strip()
    return parse(listed, proxy)


def parse(listed: str, proxy: str = "") -> Mirror:
    """The mirror from a list of repository addresses, one a line."""
    repositories = sorted({line.strip().rstrip("/") for line in listed.splitlines() if "://" in line})
    by_name = {repository.rsplit("/", 1)[1]: repository for repository in repositories}
    if "debian" not in by_name:
        raise FailureError(
            Finding(
                "lab",
                "apt on this machine knows no Debian archive",
                "name one that ends in `/debian` in /etc/apt/sources.list.d and run `apt-get update`",
            )
        )
    web = [urlsplit(repository) for repository in repositories if repository.startswith("http")]
    return Mirror(
        archive=by_name["debian"],
        security=by_name.get("debian-security"),
        schemes=tuple(sorted({address.netloc: address.scheme for address in web}.items())),
        proxy=proxy or None,
    )
