"""GPUs set as declared; what nvidia-smi only pretends to have set is found by asking again."""

import shlex
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.capabilities.gpu import TUNING_UNIT, Card, GpuSpec
from stackctl.nvidia.observation import SmiGpu
from stackctl.ops.gpus import Gpus
from stackctl.ops.step import TOLD, Reboot, Step, changes
from stackctl.ops.trace import saw
from stackctl.plan.cards import differences, pending, watts


@operation()
def tuned(spec: GpuSpec, after: Sequence[Any] = ()) -> Generator[Step | Reboot, None, None]:
    """Have the cards as declared, by the unit that sets them at every boot too."""
    seen = host.get_fact(Gpus)
    cards = [card for card in spec.cards if card.uuid is not None and _is_set(card)]
    if not cards or not seen.gpus:
        return
    if seen.smi.status != 0:
        if spec.names is not None and seen.loaded is None:
            yield Step(_script(cards), reason="set the GPUs once the driver runs", seconds=240, known=False)
        return
    there = {gpu.uuid: gpu for gpu in seen.smi.gpus}
    wrong: list[str] = []
    waiting: list[str] = []
    for card in cards:
        gpu = there.get(card.uuid or "")
        if gpu is None:
            continue
        saw(f"GPU {card.name}", **_state(card, gpu))
        wrong += [f"{card.name}: {text}" for text in differences(card, gpu)]
        waiting += [f"{card.name}: {text}" for text in pending(card, gpu)]
    if wrong or any([changes(operation) for operation in after]):
        yield Step(
            _script(cards),
            reason="; ".join(wrong) or "the settings of the GPUs change",
            seconds=240,
            hint="see what the card allows: `nvidia-smi -q -d POWER,CLOCK,ECC` on the host",
        )
    if waiting:
        yield Reboot(f"{'; '.join(waiting)} counts from the next boot on", "gpu-settings")


def _is_set(card: Card) -> bool:
    return any(value is not None for value in (card.power_limit, card.clocks, card.ecc, card.mig))


def _state(card: Card, gpu: SmiGpu) -> dict[str, str]:
    """What is declared, as it is."""
    state = {
        "power limit": watts(gpu.power_limit) if card.power_limit is not None else None,
        "clocks": ",".join(map(str, gpu.clocks or ())) if card.clocks is not None else None,
        "ecc": str(gpu.ecc).lower() if card.ecc is not None else None,
        "instances": ", ".join(gpu.mig_profiles) or "none" if card.mig is not None else None,
    }
    return {key: value for key, value in state.items() if value is not None}


def _script(cards: Sequence[Card]) -> str:
    """nvidia-smi exits 0 where a card does not support what it is told, so that the card is asked afterwards."""
    checks = "".join(
        f"ask {shlex.quote(card.uuid or '')} {query} {shlex.quote(wanted)} {shlex.quote(f'{card.name}: {what}')}\n"
        for card in cards
        for query, wanted, what in _queries(card)
    )
    return (
        _SCRIPT.replace("@UNIT@", TUNING_UNIT)
        + checks
        + f'[ -z "$bad" ] || {{ printf \'%s\' "$bad" >&2; exit {TOLD}; }}\n'
    )


def _queries(card: Card) -> Iterator[tuple[str, str, str]]:
    if card.power_limit is not None:
        yield "power.limit", f"{card.power_limit}.00", f"the power limit is not {card.power_limit} W"
    if card.clocks is not None:
        yield (
            "clocks.applications.memory",
            str(card.clocks[0]),
            f"the memory clock is not {card.clocks[0]} MHz",
        )
        yield (
            "clocks.applications.graphics",
            str(card.clocks[1]),
            f"the graphics clock is not {card.clocks[1]} MHz",
        )
    if card.ecc is not None:
        word = "Enabled" if card.ecc else "Disabled"
        yield "ecc.mode.pending", word, f"memory correction is not {word.lower()}"
    if card.mig:
        yield "mig.mode.pending", "Enabled", "MIG is not enabled"


_SCRIPT = """systemctl daemon-reload && systemctl enable -q -- @UNIT@ && systemctl restart -- @UNIT@ || {
  journalctl --no-pager -q -o cat -n 10 -u @UNIT@ >&2
  exit 1
}
! systemctl is-enabled -q stackctl-cdi 2>/dev/null || systemctl restart stackctl-cdi || exit
bad=
ask() {
  v=$(timeout -k 5 30 nvidia-smi -i "$1" --query-gpu="$2" --format=csv,noheader,nounits 2>&1)
  [ "$v" = "$3" ] || bad="$bad$4, the card says $v
"
}
"""
