"""ComfyUI: pictures and video by workflows of nodes.

Read in its cli_args.py and its documentation in 2026-11: arguments and paths. It has no image of its own making, no keys
and no metrics, and runs whatever custom nodes it finds: it is confined, finds none unless wanted, and the gateway lets
through the paths that queue a workflow and fetch what came of it, nothing that manages the server.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from stackctl.core.form import Form, UrlPath
from stackctl.servers.api import Api
from stackctl.servers.arguments import no_setting
from stackctl.servers.base import Endpoint, Launch, LocalWeights, Server

FolderName = Annotated[str, Form(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "a folder's name")]

_PORT = 8188
_BASE = "/comfyui"
"""Models, inputs and outputs in the container, wherever the image has the program."""
_DECIDERS = {
    "--listen": "the placement's host",
    "--port": "`port` of the placement",
    "--base-directory": "stackctl, whose volume it is",
    "--models-directory": "`weights`",
    "--disable-all-custom-nodes": "`custom_nodes`",
    "--whitelist-custom-nodes": "`custom_nodes`",
    "--highvram": "`vram`",
    "--lowvram": "`vram`",
    "--novram": "`vram`",
    "--gpu-only": "`vram`",
    "--cpu": "`vram`",
    "--max-upload-size": "`max_upload`",
    "--offline": "stackctl, which keeps it off the internet",
}
"""Flags that a setting or stackctl itself decides, and where."""


class Comfyui(Server):
    """ComfyUI in an image of your choice; requests go to /m/NAME/prompt, and what came of them is at /m/NAME/history."""

    server: Literal["comfyui"]
    """`comfyui`."""
    api: tuple[Api, ...] = ()
    """Leave empty: its API is its own."""
    paths: tuple[UrlPath, ...] = ("/prompt", "/upload/image", "/upload/mask")
    """Paths that requests may POST to; whoever may use `/prompt` may run any node that there is."""
    reads: tuple[UrlPath, ...] = ("/history", "/queue", "/view", "/object_info")
    """Paths that requests may GET, as /m/NAME/PATH."""
    weights: LocalWeights | None = None
    """Directory below the host's `weights` with the folders `checkpoints`, `vae`, `loras` and so on."""
    program: Annotated[tuple[str, ...], Field(min_length=1)] = ("python3", "main.py")
    """Program and script as the image has them, started in the image's working directory."""
    vram: Literal["gpu-only", "highvram", "lowvram", "novram", "cpu"] | None = None
    """What stays in the GPU's memory; unset: what ComfyUI finds right."""
    custom_nodes: tuple[FolderName, ...] = ()
    """Folders of custom nodes of the image that are loaded; they run code of others with the rights of the server."""
    max_upload: Annotated[int, Field(ge=1, le=10000)] = 100
    """Largest upload in megabytes."""
    start_seconds: Annotated[int, Field(ge=10, le=86400)] = 300
    """How long it may take to start; models are loaded with the first workflow."""
    stop_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """How long it may take to stop. What waits in its queue is lost."""
    extra_args: Annotated[tuple[str, ...], AfterValidator(no_setting(_DECIDERS))] = ()
    """Arguments of ComfyUI that have no setting here, as the last resort."""

    @property
    def devices_needed(self) -> int:
        """A workflow runs on one."""
        return 1

    def endpoint(self) -> Endpoint:
        """It queues workflows itself, and answers at once."""
        return Endpoint(_PORT, "/system_stats", None, None)

    def launch(self, name: str) -> Launch:  # noqa: ARG002 - the contract's; this kind learns no name
        """Everything it keeps is in one volume, the weights within."""
        nodes = ("--whitelist-custom-nodes", *self.custom_nodes) if self.custom_nodes else ()
        memory = (f"--{self.vram}",) if self.vram else ()
        return Launch(
            command=(
                *self.program,
                *("--listen", "0.0.0.0", "--port", str(_PORT), "--base-directory", _BASE),  # noqa: S104 - the container's own
                *("--disable-auto-launch", "--offline", "--disable-all-custom-nodes", *nodes),
                *("--max-upload-size", str(self.max_upload), *memory, *self.extra_args),
            ),
            environment={"DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"},
            stop_seconds=self.stop_seconds,
            start_seconds=self.start_seconds,
            curl=False,
            shared_memory="1g",
            volumes={"base": _BASE},
            weights_at=f"{_BASE}/models",
            confined=True,
        )
