"""The files of the locks, as a review sees them and as they are read again."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackctl.schema.image import Locked, LockedImage
from stackctl.schema.lock_text import images_text, weights_text
from stackctl.schema.snapshot import LockedFile, Snapshot
from stackctl.schema.source import read
from tests.expected import GOLDEN, expect_texts

DIGEST = f"sha256:{'4e' * 32}"
REQUIRES = "cuda>=12.8 brand=tesla,driver>=535,driver<536"
IMAGES: dict[str, Locked] = {
    "vllm/vllm-openai:v0.33.0": LockedImage(
        digest=DIGEST, cuda="12.8", requires=REQUIRES, architectures=("sm_90", "sm_100+PTX")
    ),
    "registry.lan:5000/tts:1": DIGEST,
}
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    "sliding_window": None,
    "tie_word_embeddings": True,
    "id2label": {"0": "no", "1": 'a "quote" \\ é'},
    "transformers_version": "4.57",
    "empty": {},
}
WEIGHTS = {
    "b/tiny@main": Snapshot(
        commit="1" * 40,
        files={
            "model.safetensors": LockedFile(size=4000, sha256="2" * 64),
            "config.json": LockedFile(size=400, sha256="9e" * 32),
        },
        config=CONFIG,
    ),
    "a/bare@v1.0": Snapshot(commit="c" * 40, files={"model.gguf": LockedFile(size=7, sha256="d" * 64)}),
}


def test_the_locks_are_sorted_and_have_a_line_for_each_thing() -> None:
    expect_texts(GOLDEN / "lock", {"images.lock": images_text(IMAGES), "weights.lock": weights_text(WEIGHTS)})


def test_what_is_written_is_read_again() -> None:
    assert reread(images_text(IMAGES)) == {
        "registry.lan:5000/tts:1": DIGEST,
        "vllm/vllm-openai:v0.33.0": {
            "digest": DIGEST,
            "cuda": "12.8",
            "requires": REQUIRES,
            "architectures": ["sm_90", "sm_100+PTX"],
        },
    }
    assert reread(weights_text(WEIGHTS))["b/tiny@main"] == {
        "commit": "1" * 40,
        "files": {
            "config.json": {"size": 400, "sha256": "9e" * 32},
            "model.safetensors": {"size": 4000, "sha256": "2" * 64},
        },
        "config": CONFIG,
    }


def reread(text: str) -> dict[str, Any]:
    tree, findings = read(text, "lock")
    assert findings == []
    return dict(tree.plain)


SCALARS = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
    | st.sampled_from(["no", "0x10", "1e5", "- a", "a: b", "#", "<<", "~", "2024-01-01", "\ufeff", "\x85"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), VALUES, max_size=4
    )
)
def test_any_configuration_is_read_again_as_it_was(config: dict[str, Any]) -> None:
    entry = Snapshot(commit="c" * 40, files={"x": LockedFile(size=1, sha256="d" * 64)}, config=config)

    assert reread(weights_text({"a/b@main": entry}))["a/b@main"].get("config", {}) == config
