"""Kinds of model servers: one module each, and the union of them all."""

from typing import Annotated

from pydantic import Discriminator

from stackctl.servers.comfyui import Comfyui
from stackctl.servers.custom import Custom
from stackctl.servers.kokoro import Kokoro
from stackctl.servers.sglang import Sglang
from stackctl.servers.speaches import Speaches
from stackctl.servers.tei import Tei
from stackctl.servers.vllm import Vllm
from stackctl.servers.vllm_omni import VllmOmni

ModelServer = Annotated[
    Vllm | VllmOmni | Sglang | Tei | Kokoro | Speaches | Comfyui | Custom, Discriminator("server")
]
"""One entry of the catalogue; its `server` says which kind it is."""
