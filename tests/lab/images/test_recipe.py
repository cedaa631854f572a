import pytest

from stackctl.core.finding import FindingsError
from stackctl.lab.images.recipe import RECIPES, recipes, used_by


def test_the_images_of_a_catalogue_are_found_by_reference() -> None:
    placed = frozenset({"registry.lab:5000/lab/vllm-cpu:0.32.0", "vllm/vllm-openai:v0.33.0"})

    assert used_by(placed) == ("vllm-cpu",)


def test_small_servers_share_one_root() -> None:
    assert RECIPES["fake-model"].root == RECIPES["tts"].root


def test_a_server_is_in_its_image_where_it_is_run_from() -> None:
    assert list(RECIPES["tts"].files) == ["/srv/stackctl/lab/images/tts.py"]
    assert RECIPES["tts"].run_configuration["Entrypoint"] == ["python3", "-m", "stackctl.lab.images.tts"]


def test_all_unknown_images_are_told_at_once() -> None:
    with pytest.raises(FindingsError) as refused:
        recipes(("tts", "asr", "ocr"))

    assert [finding.what for finding in refused.value.findings] == [
        "no recipe for an image `asr`",
        "no recipe for an image `ocr`",
    ]
