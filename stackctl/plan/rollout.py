"""In which order hosts are taken: who waits for whom, and what must not go down together."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from stackctl.core.job import Standing


@dataclass(frozen=True)
class Rollout:
    """How an apply goes over the hosts."""

    batch: int | None = None
    """Hosts at a time; None: as many as a wave has."""
    max_failures: int = 0
    """Hosts that may fail before no more are begun."""


def waves(standings: Mapping[str, Standing], new: Collection[str] = ()) -> tuple[tuple[str, ...], ...]:
    """Hosts that can be worked on at the same time, wave after wave, in name order within each.

    Of the hosts that carry one model at most half are in a wave. `new` hosts serve nothing yet and take
    nothing down. Hosts that wait for each other in a circle go together.
    """
    left = sorted(standings)
    done: set[str] = set()
    found = []
    while left:
        ready = [host for host in left if not (standings[host].after & set(left)) - {host}] or left
        wave = tuple(_together({host: standings[host] for host in ready}, new))
        found.append(wave)
        done |= set(wave)
        left = [host for host in left if host not in done]
    return tuple(found)


def batches(wave: tuple[str, ...], size: int | None) -> Iterator[tuple[str, ...]]:
    """A wave in parts of at most `size` hosts."""
    step = size or len(wave)
    for start in range(0, len(wave), step):
        yield wave[start : start + step]


def _together(standings: Mapping[str, Standing], new: Collection[str]) -> Iterator[str]:
    down: Counter[str] = Counter()
    for host, standing in standings.items():
        models = () if host in new else standing.replicas
        if all(down[model] < max(1, standing.replicas[model] // 2) for model in models):
            down.update(list(models))  # a mapping would be taken for counts
            yield host
