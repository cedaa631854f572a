"""GPUs set as declared; what nvidia-smi only pretends to have set is found by asking again."""

import shlex
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from pyinfra.api import operation
from pyinfra.context import host

from stackctl.capabilities.gpu import TUNING_UNIT, Card, GpuSpec, plain_commands
from stackctl.core.finding import Finding, FindingsError
from stackctl.nvidia.observation import Observation, SmiGpu
from stackctl.ops.gpus import Gpus
from stackctl.ops.modules import containers, strangers
from stackctl.ops.step import TOLD, Reboot, Step, changes
from stackctl.ops.trace import saw
from stackctl.ops.wording import some
from stackctl.plan.cards import differences, pending, resets, reshaped, watts


@operation()
def tuned(spec: GpuSpec, after: Sequence[Any] = ()) -> Generator[Step, None, None]:
    """Have the cards as declared, by the unit that sets them at every boot too.

    Instances are made anew only where they differ, and what uses a GPU is stopped for that.
    """
    seen = host.get_fact(Gpus)
    cards = [card for card in spec.cards if card.uuid is not None and _is_set(card)]
    if not cards or not seen.gpus:
        return
    if seen.smi.status != 0:
        if spec.names is not None and seen.loaded is None:
            yield Step(_script(cards), reason="set the GPUs once the driver runs", seconds=240, known=False)
        return
    there = _there(cards, seen)
    for card, gpu in there:
        saw(f"GPU {card.name}", **_state(card, gpu))
    wrong = [f"{card.name}: {text}" for card, gpu in there for text in differences(card, gpu)]
    reshape = any(reshaped(card, gpu) for card, gpu in there)
    stops = containers(seen) if reshape else []
    if reshape and (users := strangers(seen)):
        what = f"its instances cannot change while {some(users)} uses a GPU"
        raise FindingsError(Finding("GPU", what, "end it, then apply again"))
    if wrong or any([changes(operation) for operation in after]):
        told = [f"{some([f'container {each}' for each in stops])} stops for it"] if stops else []
        yield Step(
            _script(cards, stops, anew=reshape),
            reason="; ".join([*wrong, *told]) or "the settings of the GPUs change",
            seconds=240,
            hint="see what the card allows: `nvidia-smi -q -d POWER,CLOCK,ECC` on the host",
        )


@operation()
def counting(spec: GpuSpec) -> Generator[Reboot, None, None]:
    """Have what was set count: memory correction, and on older cards MIG, change at a reset of the card."""
    seen = host.get_fact(Gpus)
    cards = [card for card in spec.cards if card.uuid is not None and (card.ecc, card.mig) != (None, None)]
    if cards and seen.gpus and spec.names is not None and seen.loaded is None:
        yield Reboot("memory correction and MIG may count from the next boot on", "gpu-settings")
        return
    there = _there(cards, seen) if seen.smi.status == 0 else []
    now = [f"{card.name}: {text}" for card, gpu in there for text in pending(card, gpu)]
    coming = [f"{card.name}: {text}" for card, gpu in there for text in resets(card, gpu)]
    if now or coming:
        told = f"{'; '.join([*now, *coming])} counts from the next boot on"
        yield Reboot(told, "gpu-settings")


def _there(cards: Sequence[Card], seen: Observation) -> list[tuple[Card, SmiGpu]]:
    gpus = {gpu.uuid: gpu for gpu in seen.smi.gpus}
    return [(card, gpus[card.uuid]) for card in cards if card.uuid is not None and card.uuid in gpus]


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


def _script(cards: Sequence[Card], stops: Sequence[str] = (), *, anew: bool = True) -> str:
    """nvidia-smi exits 0 where a card does not support what it is told, so that the card is asked afterwards.

    The unit makes instances anew, which ends what runs in them: without `anew` it is not run where there are any.
    """
    plain = not anew and any(card.mig for card in cards)
    lines = [line for card in cards for line in plain_commands(card, card.uuid or "")]
    telling = "".join(f"tell {line}\n" for line in lines) if plain else _RESTART
    checks = "".join(
        f"ask {shlex.quote(card.uuid or '')} {query} {shlex.quote(wanted)} {shlex.quote(f'{card.name}: {what}')}\n"
        for card in cards
        for query, wanted, what in _queries(card)
    )
    return (
        _SCRIPT.replace("@TELLING@", telling)
        .replace("@STOP@", f"docker stop {' '.join(stops)} >/dev/null || exit\n" if stops else "")
        # Those whose instance is no more do not start; the models' deploy makes them anew.
        .replace("@START@", f"docker start {' '.join(stops)} >/dev/null 2>&1\n" if stops else "")
        .replace("@UNIT@", TUNING_UNIT)
        .replace("@CHECKS@", checks)
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


# A card whose MIG counts from its next reset on has no instances before it.
_RESTART = """waits() {
  nvidia-smi --query-gpu=mig.mode.current,mig.mode.pending --format=csv,noheader 2>/dev/null |
    grep -qE '^(Disabled, Enabled|Enabled, Disabled)$'
}
systemctl restart -- @UNIT@ || waits || {
  journalctl --no-pager -q -o cat -n 10 -u @UNIT@ >&2
  exit 1
}
! systemctl is-enabled -q stackctl-cdi 2>/dev/null || systemctl restart stackctl-cdi || exit
"""
_SCRIPT = f"""bad= said=
tell() {{
  said="$said$("$@" 2>&1)
"
}}
ask() {{
  v=$(timeout -k 5 30 nvidia-smi -i "$1" --query-gpu="$2" --format=csv,noheader,nounits 2>&1)
  [ "$v" = "$3" ] || bad="$bad$4, the card says $v
"
}}
systemctl daemon-reload && systemctl enable -q -- @UNIT@ || exit
@STOP@@TELLING@@CHECKS@@START@[ -z "$bad" ] || {{ printf '%s' "$bad$said" >&2; exit {TOLD}; }}
"""
