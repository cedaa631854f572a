"""What a host shows of its GPUs and their driver, as values; nothing here says whether it is right."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Device:
    """A device of NVIDIA's on the PCI bus."""

    address: str
    """`0000:41:00.0`."""
    id: str
    """Vendor and device, `10de:2684`."""
    kind: str
    """PCI class of four digits: `0300` VGA, `0302` 3D controller, `0680` NVSwitch, `0403` the card's audio."""
    driver: str | None
    """Kernel driver bound to it: `nvidia`, `nouveau`, `vfio-pci`; None: none is."""

    @property
    def is_gpu(self) -> bool:
        """Whether it computes."""
        return self.kind in ("0300", "0302")


@dataclass(frozen=True)
class Kernel:
    """A kernel that the host can boot."""

    release: str
    """`6.12.57+deb13-amd64`."""
    running: bool
    headers: bool
    """Whether modules can be built for it."""
    module: str | None
    """Version of the NVIDIA module on disk for it; None: there is none."""
    signer: str | None = None
    """Who signed that module; None: nobody."""
    nouveau_in_initramfs: bool = False
    """Whether its initramfs loads nouveau before the driver has a chance."""


@dataclass(frozen=True)
class Build:
    """A module that DKMS looks after, for one kernel."""

    module: str
    """`nvidia`, `nvidia-current`, `nvidia-current-open`."""
    version: str
    kernel: str | None
    """None: it was only added, for no kernel."""
    state: str
    """DKMS's own word: `added`, `built`, `installed`."""


@dataclass(frozen=True)
class SmiGpu:
    """A GPU as nvidia-smi tells of it; what it does not support is None."""

    uuid: str
    pci: str
    """As the kernel writes it, `0000:41:00.0`, not with nvidia-smi's eight digits."""
    name: str
    persistence: bool | None = None
    power_limit: float | None = None
    """Watts."""
    clocks: tuple[int, int] | None = None
    """Application clocks of memory and graphics, MHz."""
    ecc: bool | None = None
    ecc_pending: bool | None = None
    """What counts after the next reset."""
    mig: bool | None = None
    mig_pending: bool | None = None
    mig_profiles: tuple[str, ...] = ()
    """Instances in MIG's own words, `3g.40gb`, sorted."""
    mig_uuids: tuple[str, ...] = ()
    fabric_state: str | None = None
    """`Completed` where the NVLink fabric is ready; None: it has none."""
    fabric_status: str | None = None


@dataclass(frozen=True)
class Smi:
    """An answer of nvidia-smi."""

    status: int | None
    """Exit status; 124: it did not answer in time; None: there is no such program."""
    gpus: tuple[SmiGpu, ...] = ()
    message: str = ""
    """What it said where it failed, one line."""


@dataclass(frozen=True)
class Cdi:
    """The container device specifications of a host."""

    specs: Mapping[str, str | None] = field(default_factory=dict)
    """Driver version by path of a specification, as far as the files it names tell."""
    devices: tuple[str, ...] = ()
    """Names, `nvidia.com/gpu=GPU-…`, sorted."""
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Files that the host has not, by path of the specification that names them."""
    docker: bool | None = None
    """Whether the engine says that CDI is on; None: there is no engine."""


@dataclass(frozen=True)
class Observation:
    """All of it, read in one go."""

    devices: tuple[Device, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    builds: tuple[Build, ...] = ()
    loaded: str | None = None
    """Version of the module that is loaded; None: none is."""
    flavour: Literal["open", "proprietary"] | None = None
    """Of the module that is loaded."""
    nouveau: bool = False
    """Whether nouveau is loaded."""
    library: str | None = None
    """Version of the user-space library libnvidia-ml; None: there is none."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Version by name of all installed packages that have to do with NVIDIA or CUDA."""
    held: frozenset[str] = frozenset()
    """Those of them that apt was told to leave."""
    secure_boot: bool | None = None
    """None: the firmware does not know it, or cannot be asked."""
    key_enrolled: bool | None = None
    """Whether the key that DKMS signs with is one that the firmware trusts; None: there is no key."""
    holders: Mapping[str, str] = field(default_factory=dict)
    """Who has a GPU's device file open: command by process id, ` in container 0123456789ab` behind it where it is in one."""
    smi: Smi = Smi(None)
    cdi: Cdi = Cdi()
    switches: bool = False
    """Whether it has NVSwitches, of whichever generation."""
    nvlink5: bool = False
    """Whether these are of the fifth generation, whose manager needs nvlsm as well."""
    units: Mapping[str, str] = field(default_factory=dict)
    """systemd's word for each of the units that the driver brings, such as `active`; those there are."""
    xids: tuple[str, ...] = ()
    """The kernel's lines about GPU errors since it started, oldest first."""
    traces: tuple[str, ...] = ()
    """What other ways of installing the driver left, in words: `a runfile installation of 570.124.06 (/usr/bin/nvidia-uninstall)`."""

    @property
    def gpus(self) -> tuple[Device, ...]:
        """The devices that compute."""
        return tuple(device for device in self.devices if device.is_gpu)

    @property
    def running(self) -> Kernel | None:
        """The kernel that runs."""
        return next((kernel for kernel in self.kernels if kernel.running), None)
