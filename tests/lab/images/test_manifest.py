import json

from stackctl.lab.images.layer import layer_of_files
from stackctl.lab.images.manifest import configuration, manifest

LAYER, _ = layer_of_files({"/srv/server.py": b"pass\n"})


def test_a_configuration_lists_what_is_inside_the_layers() -> None:
    assert json.loads(configuration({"Entrypoint": ["python3"]}, [LAYER])) == {
        "architecture": "amd64",
        "config": {"Entrypoint": ["python3"]},
        "os": "linux",
        "rootfs": {"diff_ids": [LAYER.content_digest], "type": "layers"},
    }


def test_a_manifest_names_configuration_and_layers_by_digest() -> None:
    assert json.loads(manifest("sha256:abc", 7, [LAYER])) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": "sha256:abc",
            "size": 7,
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": LAYER.digest,
                "size": LAYER.size,
            }
        ],
    }
