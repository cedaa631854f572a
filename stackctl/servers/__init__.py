"""Kinds of model servers: one module each, and the union of them all."""

from typing import Annotated

from pydantic import Discriminator

from stackctl.servers.custom import Custom
from stackctl.servers.vllm import Vllm

ModelServer = Annotated[Vllm | Custom, Discriminator("server")]
"""One entry of the catalogue; its `server` says which kind it is."""
