"""What a host shows of its GPUs, as a fact."""

from collections.abc import Iterable

from pyinfra.api import FactBase

from stackctl.nvidia.observation import Observation
from stackctl.nvidia.observe import read, script


class Gpus(FactBase[Observation]):
    """The host's GPUs, driver, kernels and all that belongs to them; reads only."""

    def command(self) -> str:
        """One script for all of it."""
        return script()

    @staticmethod
    def default() -> Observation:
        """A host that shows nothing."""
        return Observation()

    def process(self, output: Iterable[str]) -> Observation:
        """The script's sections."""
        return read("\n".join(output))
