"""An image's configuration and manifest as bytes. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stackctl.lab.images.layer import Layer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIGURATION = "application/vnd.oci.image.config.v1+json"


def configuration(run: Mapping[str, Any], layers: Sequence[Layer]) -> bytes:
    """The configuration of an image; it has no date, so that equal images are equal."""
    return _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [layer.content_digest for layer in layers]},
        }
    )


def manifest(configuration_digest: str, configuration_size: int, layers: Sequence[Layer]) -> bytes:
    """The manifest of an image, which its digest is of."""
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": CONFIGURATION,
                "digest": configuration_digest,
                "size": configuration_size,
            },
            "layers": [
                {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
                for layer in layers
            ],
        }
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
