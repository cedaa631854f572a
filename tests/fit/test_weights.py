import pytest

from stackctl.fit.need import GIB, Room, need
from stackctl.fit.sizing import Sizing
from tests.fit import configs


def weights(files: dict[str, int], config: dict[str, object] | None = None, **sizing: object) -> int | None:
    wanted = Sizing(**sizing)  # type: ignore[arg-type]
    return need(configs.LLAMA_3_8B if config is None else config, files, wanted, Room(80 * GIB)).weights


@pytest.mark.parametrize(
    ("files", "size"),
    [
        ({"model-1.safetensors": 300, "model-2.safetensors": 200, "tokenizer.json": 9}, 500),
        ({"model.safetensors": 500, "pytorch_model.bin": 500, "onnx/model.onnx": 500}, 500),
        ({"model.safetensors": 500, "consolidated.safetensors": 500}, 500),
        ({"consolidated.safetensors": 500}, 500),
        ({"pytorch_model.bin": 500, "training_args.bin": 5, "original/consolidated.00.pth": 500}, 500),
        ({"model.gguf": 500}, None),
    ],
)
def test_weights_are_the_files_that_vllm_loads_and_no_second_copy_of_them(
    files: dict[str, int], size: int | None
) -> None:
    assert weights(files) == size


def test_weights_are_spread_over_the_devices() -> None:
    assert weights({"model.safetensors": 1001}, width=4) == 251


def test_32_bits_become_16_unless_they_are_asked_for() -> None:
    files = {"model.safetensors": 1000}

    assert weights(files, configs.BERT) == 500
    assert weights(files, configs.BERT, dtype="float32") == 1000
    assert weights(files, dtype="float32") == 2000


def test_layers_that_guess_at_later_tokens_are_not_loaded() -> None:
    assert weights({"model.safetensors": 62_000}, configs.DEEPSEEK_V3) == 61_000
