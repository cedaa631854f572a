"""What the name of an image says of the devices that it was made for."""

import re
from collections.abc import Iterator

from stackctl.schema.fleet import Fleet
from stackctl.schema.problem import Problem
from stackctl.schema.serving import CPU

_WORDS = {"cpu": "CPUs", "gpu": "GPUs", "cuda": "GPUs"}
"""Words of names such as `kokoro-fastapi-gpu:0.3.0` and `text-embeddings-inference:cpu-1.9`."""


def check(fleet: Fleet) -> Iterator[Problem]:
    """A warning: a name may mean something else."""
    for model, placements in fleet.placements.items():
        server = fleet.models.get(model)
        made_for = None if server is None else _made_for(server.image)
        for index, placement in enumerate(placements):
            given = "CPUs" if CPU in placement.devices else "GPUs"
            if server is not None and made_for not in (None, given):
                what = f"`{model}` is placed on {given}, and its image `{server.image}` is one for {made_for}"
                key = ("placements", model, index, "devices")
                yield Problem(
                    key, what, "use the image for these devices, or name others", severity="warning"
                )


def _made_for(image: str) -> str | None:
    """None: it does not say, or says both."""
    words = re.split("[^a-z0-9]+", image.rpartition("/")[2].lower())
    found = {_WORDS[word] for word in words if word in _WORDS}
    return found.pop() if len(found) == 1 else None
