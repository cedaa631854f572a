"""The inference APIs that models answer, and the paths of these."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Api = Literal[
    "chat",
    "completions",
    "responses",
    "embeddings",
    "rerank",
    "score",
    "classify",
    "speech",
    "transcriptions",
    "translations",
    "images",
]
"""The inference APIs a model can answer; the gateway lets through the paths of these and no others."""

PATHS: Mapping[Api, tuple[str, ...]] = MappingProxyType(
    {
        "chat": ("/v1/chat/completions",),
        "completions": ("/v1/completions",),
        "responses": ("/v1/responses",),
        "embeddings": ("/v1/embeddings",),
        "rerank": ("/v1/rerank", "/v2/rerank", "/rerank"),
        "score": ("/v1/score", "/score"),
        "classify": ("/classify",),
        "speech": ("/v1/audio/speech",),
        "transcriptions": ("/v1/audio/transcriptions",),
        "translations": ("/v1/audio/translations",),
        "images": ("/v1/images/generations", "/v1/images/edits", "/v1/images/variations"),
    }
)
"""All that may reach a replica, always by POST: servers answer much more, some of it without their key."""
