"""A host's GPUs, and the driver that runs them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from stackctl.core.form import CudaVersion, Form
from stackctl.core.model import Model
from stackctl.schema.repository import Repository
from stackctl.servers.base import once_each

GpuName = Annotated[str, Form(r"(?!cpu$)[a-z0-9]+", "lower-case letters and digits, not `cpu`")]
PciAddress = Annotated[
    str,
    Form(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", "`0000:41:00.0`, as `lspci -D` prints it"),
]
PciId = Annotated[
    str, Form(r"10de:[0-9a-f]{4}", "`10de:` and four hexadecimal digits, as `lspci -n` prints it")
]
DriverVersion = Annotated[
    str, Form(r"[1-9][0-9]{2}\.[0-9]{1,3}(\.[0-9]{2})?", "a driver's version, such as `580.178.04`")
]
MigProfile = Annotated[
    str,
    Form(r"[1-7](c\.[1-7])?g\.[0-9]+gb(\+[a-z.]+)*", "a MIG profile, such as `3g.40gb`"),
]
Memory = Annotated[str, Form(r"[1-9][0-9]*[MG]", "a number and `M` or `G`")]
MigUuid = Annotated[
    str,
    Form(r"MIG-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "`MIG-` and a UUID, as `nvidia-smi -L` prints it"),
]
DriverSource = Literal["nvidia", "distribution", "existing", "none"]
Modules = Literal["auto", "open", "proprietary"]


class Tuning(Model):
    """Settings of a GPU that are lost at a reboot; a unit on the host applies them at boot, and an apply looks."""

    power_limit: Annotated[int, Field(ge=50, le=2000)] | None = None
    """Most watts that the card may draw; left as it is without."""
    clocks: (
        Annotated[str, Form(r"[0-9]{3,5},[0-9]{3,5}", "memory and graphics clock in MHz, `1593,1410`")] | None
    ) = None
    """Application clocks, memory first; left as they are without."""
    ecc: bool | None = None
    """Whether memory errors are corrected; left as it is without. A change counts after a reset or a reboot."""
    mig: tuple[MigProfile, ...] | None = None
    """MIG instances, largest first; an empty list turns MIG off, and without the setting nobody looks."""


class Driver(Model):
    """NVIDIA's driver of one host."""

    source: DriverSource = "existing"
    """`nvidia`: NVIDIA's package repository; `distribution`: Debian's or Ubuntu's own packages; `existing`: somebody
    else installs it, and it is only looked at; `none`: there is to be none."""
    branch: Annotated[int, Field(ge=300, le=999)] | None = None
    """Driver branch, such as 580; its newest version is installed once and then stays."""
    version: DriverVersion | None = None
    """Exactly this version, in place of the branch's newest."""
    modules: Modules = "auto"
    """Flavour of the kernel modules; `auto`: what the host's GPUs need, open where both would do."""
    cuda: Annotated[tuple[CudaVersion, ...], AfterValidator(once_each)] = ()
    """CUDA toolkits on the host itself; containers bring their own, so there are usually none."""
    persistence: bool = True
    """Keep the driver loaded while nobody uses a GPU."""
    fabric_manager: Literal["auto", "yes", "no"] = "auto"
    """NVSwitch's manager; `auto`: where the host has NVSwitches."""
    hold: bool = True
    """Keep unattended upgrades away from the driver; a version that moves under running containers breaks them."""
    leftovers: Literal["refuse", "remove"] = "refuse"
    """What of other installations (runfiles, other repositories, retired keys) does to an apply."""
    tuning: Tuning = Tuning()
    """For all GPUs of the host; a GPU's own `tuning` wins setting by setting."""
    repository: Repository | None = None
    """Copy of NVIDIA's repository for hosts that do not reach it."""

    @model_validator(mode="after")
    def _complete(self) -> "Driver":
        installed = self.source in ("nvidia", "distribution")
        if self.source == "nvidia" and self.branch is None and self.version is None:
            raise PydanticCustomError("driver", "needs a `branch` or a `version`, such as `branch: 580`")
        if self.version and self.branch and not self.version.startswith(f"{self.branch}."):
            wrong = {"version": self.version, "branch": self.branch}
            raise PydanticCustomError(
                "driver", "version {version} is not of branch {branch}; write one of them", wrong
            )
        if not installed and self.cuda:
            raise PydanticCustomError("driver", "`cuda` needs the `source` `nvidia` or `distribution`")
        return self


class Gpu(Model):
    """One GPU, under the short name that placements use."""

    uuid: (
        Annotated[
            str,
            Form(
                r"GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
                "`GPU-` and a UUID, as `nvidia-smi -L` prints it",
            ),
        ]
        | None
    ) = None
    """UUID of the card. It names the same card after a reboot, a move to another slot and a driver update.

    `stackctl doctor` tells it once the driver runs; models can be placed on the GPU from then on."""
    pci: PciAddress | None = None
    """Where the card sits. A card, a riser or a firmware setting can move it, so that `id` is compared as well."""
    id: PciId | None = None
    """Vendor and device; tells the GPU's family, against which driver and images are checked."""
    memory: Memory | None = None
    """Memory of the card as `nvidia-smi` prints it, `24G` or `24564M`, where its `id` does not tell.

    What models need is compared with it. Wins over what is known of the card by its `id`."""
    use: Literal["containers", "passthrough"] = "containers"
    """Who gets it: models in containers, or a virtual machine."""
    tuning: Tuning = Tuning()
    """In place of the host's `driver.tuning`, setting by setting."""
    instances: Mapping[GpuName, MigUuid] = Field(default_factory=dict)
    """MIG instances of the card by short names of your choice, which placements use as they do a GPU's.

    `stackctl doctor` tells their UUIDs once `tuning.mig` has made them; a card that is cut anew has others."""


Gpus = Mapping[GpuName, Gpu]
