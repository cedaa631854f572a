from pathlib import Path

import pytest

from stackctl.cli.lab import lab_of
from stackctl.core.finding import FindingsError
from stackctl.lab import kind
from stackctl.lab import spec as specs
from stackctl.schema.load import load
from tests.cli.program import stackctl

ROOT = Path(__file__).parents[2]


def test_the_lab_has_the_inventorys_hosts_and_the_images_that_its_placements_use() -> None:
    spec = lab_of(load(ROOT, "lab"))

    assert [(host.name, str(host.address), host.suite) for host in spec.hosts] == [
        ("edge", "10.89.0.11", "trixie"),
        ("gpu1", "10.89.0.12", "trixie"),
        ("gpu2", "10.89.0.13", "trixie"),
    ]
    assert spec.images == ("fake-model", "tts", "vllm-cpu")


def test_a_labs_hosts_are_of_the_kind_that_is_wanted_or_else_of_the_kind_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specs, "STATE", tmp_path)
    fleet = load(ROOT, "lab")
    assert lab_of(fleet).kind == "container"

    kind.remember(lab_of(fleet, wanted="vm"))

    assert lab_of(fleet).kind == "vm"


@pytest.mark.parametrize(
    ("words", "what"),
    [(("edge",), "Missing argument"), (("edge", "--lab", "x"), "`--lab` stands after the host"),
     (("edge", "--", "--"), "`--` stands after the host")],
)  # fmt: skip
def test_a_command_for_a_host_is_not_taken_from_options(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], what: str
) -> None:
    ended = stackctl(capsys, "lab", "exec", *words)

    assert ended.code == 2
    assert what in ended.err


def test_an_environment_of_real_hosts_is_never_made_into_a_lab() -> None:
    with pytest.raises(FindingsError) as refused:
        lab_of(load(ROOT, "prod"))

    assert refused.value.findings[0].hint == "use an environment with a `lab:` section"
