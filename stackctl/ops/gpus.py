"""What a host shows of its GPUs and their driver."""

from collections.abc import Iterable

from pyinfra.api import FactBase

from stackctl.nvidia import observe
from stackctl.nvidia.observation import Observation


class Gpus(FactBase[Observation]):
    """The whole of it, read in one go."""

    def command(self) -> str:
        """Ask sysfs, DKMS, apt, the firmware, nvidia-smi; each with a time limit."""
        return observe.script()

    @staticmethod
    def default() -> Observation:
        """Nothing of NVIDIA's."""
        return Observation()

    def process(self, output: Iterable[str]) -> Observation:
        """Sections of lines."""
        return observe.read("\n".join(output))
