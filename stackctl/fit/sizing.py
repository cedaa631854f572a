"""What a server's arguments have to do with memory."""

from dataclasses import dataclass, replace

DEFAULT_SHARE = 0.92
"""Of each GPU's memory, where nothing is written: `CacheConfig.gpu_memory_utilization` of vLLM 0.32 and 0.33."""
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True)
class Sizing:
    """The arguments of one replica that decide about memory; None: left to vLLM."""

    context: int | None = None
    """Longest prompt and answer together, in tokens."""
    sequences: int | None = None
    """Requests worked on at the same time, however short."""
    concurrency: int | None = None
    """Requests of full context that are to be worked on at the same time; None: nobody promised more than one."""
    width: int = 1
    """Devices that the model is spread over."""
    dtype: str = "auto"
    cache_dtype: str = "auto"
    cache: int | None = None
    """Bytes of KV cache on each device, in place of a share of its memory."""
    share: float = DEFAULT_SHARE
    """Of each device's memory, all in all."""
    eager: bool = False
    """No graphs are captured."""

    @property
    def requests(self) -> int:
        """Requests of full context that the cache is to hold."""
        return self.concurrency or 1

    def but(self, **changes: int | str) -> "Sizing":
        """The same with other values."""
        return replace(self, **changes)  # type: ignore[arg-type]  # the names are this class's own


def size(text: str) -> int:
    """Bytes of `64M`; vLLM too counts in powers of two where the unit is a capital."""
    return int(text[:-1]) * _UNITS[text[-1]]
