"""A host as the checks of its driver see it: what its cards are, and what is known of the driver's version."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stackctl.nvidia import branches
from stackctl.nvidia.families import Family, Flavour, family
from stackctl.nvidia.version import Version, parsed
from stackctl.schema.gpu import Driver
from stackctl.schema.host import Host
from stackctl.schema.source import Key

_OLDEST, _NEWEST = 0, 999
_FLAVOURS: tuple[Flavour, ...] = ("open", "proprietary")


@dataclass(frozen=True)
class GpuHost:
    """One host; only GPUs for containers and of a known family are among its `families`."""

    name: str
    host: Host
    families: Mapping[str, Family]

    @property
    def driver(self) -> Driver:
        """As written."""
        return self.host.driver

    @property
    def version(self) -> Version | None:
        """Exact version, or the branch alone; None: nobody knows, or there is none."""
        if self.driver.source == "none":
            return None
        if self.driver.version is not None:
            return parsed(self.driver.version)
        if self.driver.branch is not None:
            return (self.driver.branch,)
        own = branches.distribution(self.host.os) if self.driver.source == "distribution" else None
        return None if own is None else (own.branch,)

    @property
    def pin(self) -> Key:
        """The setting that the version comes from."""
        written = (name for name in ("version", "branch") if getattr(self.driver, name) is not None)
        return self.key("driver", next(written, "source"))

    @property
    def pinned(self) -> str:
        """The value of that setting."""
        return str(self.driver.version or self.driver.branch or self.driver.source)

    @property
    def flavour(self) -> Flavour | None:
        """The only flavour that all cards run with; None: either will do, or none does."""
        doing = [item for item in _FLAVOURS if all(item in known.modules for known in self.families.values())]
        return doing[0] if len(doing) == 1 else None

    def key(self, *steps: str | int) -> Key:
        """The way to one of its settings."""
        return ("hosts", self.name, *steps)

    def advice(self, first: int = _OLDEST, fits: Callable[[int], bool] = lambda _: True) -> str:
        """What to write to get a driver that runs all cards, of branch `first` or newer, and that `fits`."""
        low = max((item.first or _OLDEST for item in self.families.values()), default=_OLDEST)
        high = min((item.last or _NEWEST for item in self.families.values()), default=_NEWEST)
        fitting = branches.advised(self.flavour, max(first, low), high)
        branch = next((item for item in fitting if fits(item)), None)
        if branch is None:
            return "no driver does both; use another image or another GPU"
        if self.driver.source == "existing":
            return f"install a driver of branch {branch} and write `branch: {branch}`"
        if self.driver.source == "distribution" and branches.distribution(self.host.os) is not None:
            return f"write `source: nvidia` and `branch: {branch}`"
        return f"write `branch: {branch}`{' instead' if self.driver.version else ''}"


def gpu_host(name: str, host: Host) -> GpuHost:
    """A host with the families of its cards."""
    cards = {gpu: card.id for gpu, card in host.gpus.items() if card.use == "containers"}
    found = {gpu: family(pci_id) for gpu, pci_id in cards.items() if pci_id is not None}
    return GpuHost(name, host, {gpu: item for gpu, item in found.items() if item is not None})


def card(gpu: str, known: Family) -> str:
    """A GPU as findings call it."""
    return f"GPU `{gpu}` ({known.name})"
