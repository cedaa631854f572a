"""speaches: transcription with faster-whisper, and text to speech.

Read in its config.py, hf_utils.py and Dockerfile in 2026-11: its settings are environment variables, it runs as a user
of its own, it looks for models in the hub's cache and lists those it finds. It has no metrics. Not seen running.
"""

from typing import Annotated, Literal

from pydantic import Field

from stackctl.servers.base import Endpoint, HubWeights, Launch, Server

_PORT = 8000
_CACHE = "/home/ubuntu/.cache/huggingface/hub"


class Speaches(Server):
    """A speech model served by speaches; requests go to /m/NAME/v1 and call the model `owner/name`, as the hub does."""

    server: Literal["speaches"]
    """`speaches`."""
    weights: HubWeights
    """Repository of the model, `{repo: Systran/faster-whisper-large-v3, revision: ...}`."""
    compute_type: (
        Literal[
            "int8",
            "int8_float16",
            "int8_bfloat16",
            "int8_float32",
            "int16",
            "float16",
            "bfloat16",
            "float32",
            "default",
        ]
        | None
    ) = None
    """Type that Whisper computes in; unset: the one of its weights."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Transcriptions that Whisper works on at the same time; each takes memory of its own."""
    batched: bool = False
    """Cut long recordings up and transcribe the parts together: faster, and a little less exact."""
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    """How much it tells; its own `debug` tells what was said."""
    start_seconds: Annotated[int, Field(ge=10, le=86400)] = 300
    """How long it may take to start; the model is loaded with the first request."""
    stop_seconds: Annotated[int, Field(ge=1, le=3600)] = 120
    """How long it may go on answering what it has begun when the container stops."""

    @property
    def devices_needed(self) -> int:
        """It uses the first it sees."""
        return 1

    def endpoint(self) -> Endpoint:
        """Told to stop, it takes no more connections and ends those it has."""
        return Endpoint(_PORT, "/health", None, self.workers)

    def launch(self, name: str) -> Launch:  # noqa: ARG002 - requests call the model what the hub calls it
        """All of it is environment; a model that is loaded stays so."""
        kind = {"WHISPER__COMPUTE_TYPE": self.compute_type} if self.compute_type else {}
        repository = f"models--{self.weights.repo.replace('/', '--')}"
        return Launch(
            command=(),
            environment={
                **kind,
                "ENABLE_UI": "false",
                "HF_HUB_OFFLINE": "1",
                "LOG_LEVEL": self.log_level,
                "STT_MODEL_TTL": "-1",
                "TTS_MODEL_TTL": "-1",
                "WHISPER__NUM_WORKERS": str(self.workers),
                "WHISPER__TTL": "-1",
                "WHISPER__USE_BATCHED_MODE": str(self.batched).lower(),
            },
            stop_seconds=self.stop_seconds,
            start_seconds=self.start_seconds,
            curl=True,
            weights_at=f"{_CACHE}/{repository}/snapshots/pinned",
        )
