"""The machine itself: packages, name, clock, kernel settings."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from stackctl.core.form import DomainName, Form, HostName, TextOrNumber
from stackctl.core.model import Model
from stackctl.servers.base import once_each

PackageName = Annotated[
    str, Form(r"[a-z0-9][a-z0-9+.-]+", "a Debian package's name, without version or architecture")
]
SettingName = Annotated[
    str, Form(r"[a-z0-9_]+([.][A-Za-z0-9_*/-]+)+", "a kernel setting, such as `vm.swappiness`")
]
SettingValue = Annotated[TextOrNumber, Form(r"[^\s](.*[^\s])?", "a number, or text of one line")]


class System(Model):
    """What every host gets, beyond what the stack itself needs."""

    packages: Annotated[tuple[PackageName, ...], AfterValidator(once_each)] = ()
    """Packages to install besides the stack's own. Taking one out of the list does not remove it."""
    hostname: HostName | None = None
    """Name the host calls itself, where it is not its name in the inventory."""
    time: Literal["timesyncd", "external"] = "timesyncd"
    """`external` where something else keeps the clock: a hypervisor, PTP, your own chrony."""
    time_servers: Annotated[tuple[DomainName, ...], AfterValidator(once_each)] = ()
    """NTP servers for timesyncd, where not the distribution's."""
    sysctl: Mapping[SettingName, SettingValue] = Field(default_factory=dict)
    """Kernel settings; one of the stack's own can be overruled here."""
