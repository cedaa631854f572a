"""Files that stackctl owns wholly, before and after their text is rendered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stackctl.core.secret import SecretRef


@dataclass(frozen=True)
class FileTemplate:
    """A file as a capability wants it: which template, with which values, to which place."""

    path: str
    """Absolute path on the host."""
    template: str
    """Path below `templates/`, such as `gateway/haproxy.cfg.j2`."""
    values: Mapping[str, Any]
    """Names the template may use; an undefined name is an error."""
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    secrets: tuple[SecretRef, ...] = ()


@dataclass(frozen=True)
class Artifact:
    """A file with its exact content; a secret's place is held by its placeholder."""

    path: str
    content: str
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    secrets: tuple[SecretRef, ...] = field(default=())
    """References whose placeholders stand in `content`; such a file's diff is never shown."""

    @property
    def is_bare(self) -> bool:
        """Whether it is nothing but secrets, each on lines of its own: no format then limits what they hold."""
        return set(self.content.splitlines()) <= {ref.placeholder for ref in self.secrets}
