"""What of a repository's files becomes weights in memory."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from stackctl.fit.shape import Shape, number, text_of
from stackctl.fit.sizing import Sizing

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "half": 2}


def stored(files: Mapping[str, int]) -> int | None:
    """Bytes of the weights among files and their sizes; None where there are none that vLLM would load.

    Of several formats it takes safetensors, and of those not what another program's format repeats.
    """
    for ending in (".safetensors", ".bin", ".pt"):
        named = {name: size for name, size in files.items() if name.endswith(ending) and "/" not in name}
        own = {
            name: size for name, size in named.items() if not name.startswith(("consolidated", "training_"))
        }
        if found := own or named:
            return sum(found.values())
    return None


def loaded(stored: int, config: Mapping[str, Any], shape: Shape | None, sizing: Sizing) -> int:
    """Bytes of the weights on each device.

    A little is on all of them (norms, and heads of keys and values where there are more devices than heads), which
    is left out, and layers that only guess at later tokens are not loaded. vLLM runs float32 in 16 bits unless it is
    told otherwise.
    """
    guessing = 0 if shape is None else number(shape.text, "num_nextn_predict_layers") or 0
    layers = 0 if shape is None else shape.layers
    if layers:
        stored = ceil(stored * layers / (layers + guessing))
    kept = _BYTES.get(shape.dtype or "" if shape is not None else str(text_of(config).get("torch_dtype")))
    plain = shape is not None and not shape.quantised
    wanted = _BYTES.get(sizing.dtype, min(2, kept or 2))
    factor = wanted / kept if plain and kept is not None else 1
    return ceil(stored * factor / sizing.width)
