"""The machine itself: packages, name, clock, kernel settings."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from stackctl.core.form import DomainName, Form, HostName, TextOrNumber
from stackctl.core.model import Model
from stackctl.servers.base import once_each

PackageName = Annotated[
    str,
    Form(
        r"[a-z0-9][a-z0-9+.-]+(=[0-9][A-Za-z0-9.+:~-]*)?",
        "a Debian package's name, with `=version` where it is pinned, without architecture",
    ),
]
SettingName = Annotated[
    str, Form(r"[a-z0-9_]+([.][A-Za-z0-9_*/-]+)+", "a kernel setting, such as `vm.swappiness`")
]
SettingValue = Annotated[TextOrNumber, Form(r"[^\s](.*[^\s])?", "a number, or text of one line")]


def _each_package_once(values: tuple[str, ...]) -> tuple[str, ...]:
    once_each(tuple(value.partition("=")[0] for value in values))
    return values


class System(Model):
    """What every host gets, beyond what the stack itself needs."""

    packages: Annotated[tuple[PackageName, ...], AfterValidator(_each_package_once)] = ()
    """Packages to install besides the stack's own. Taking one out of the list does not remove it.

    `name=version` pins one: any other version on the host is replaced, a newer one too."""
    hostname: HostName | None = None
    """Name the host calls itself, where it is not its name in the inventory."""
    time: Literal["timesyncd", "external"] = "timesyncd"
    """`external` where something else keeps the clock: a hypervisor, PTP, your own chrony."""
    time_servers: Annotated[tuple[DomainName, ...], AfterValidator(once_each)] = ()
    """NTP servers for timesyncd, where not the distribution's."""
    sysctl: Mapping[SettingName, SettingValue] = Field(default_factory=dict)
    """Kernel settings; one of the stack's own can be overruled here."""
