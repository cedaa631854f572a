import pytest

from stackctl.nvidia.families import family
from stackctl.nvidia.memory import declared, memory
from stackctl.nvidia.tables import table

GIB = 2**30


@pytest.mark.parametrize(
    ("pci_id", "card", "seen"),
    [
        # what torch says of the whole memory when it runs out of it
        ("10de:1eb8", "T4", 14.6),
        ("10de:20b2", "A100", 79.2),
        ("10de:2204", "RTX 3090", 23.7),
        ("10de:2235", "A40", 44.4),
        ("10de:2330", "H100", 79.1),
        ("10de:2684", "RTX 4090", 23.6),
        ("10de:26b9", "L40S", 44.4),
        ("10de:27b8", "L4", 22.0),
        ("10de:2b85", "RTX 5090", 31.4),
    ],
)
def test_a_cards_id_tells_the_memory_that_cuda_has(pci_id: str, card: str, seen: float) -> None:
    found = memory(pci_id)

    assert found is not None, card
    assert found / GIB == pytest.approx(seen, abs=0.5)


def test_error_correction_takes_a_sixteenth_where_the_memory_has_no_bits_for_it() -> None:
    assert memory("10de:26b9", ecc=False) == 47.5 * GIB
    assert memory("10de:26b9") == memory("10de:26b9", ecc=True) == 44.5 * GIB
    assert memory("10de:26b1") == memory("10de:26b1", ecc=False) == 47.5 * GIB
    assert memory("10de:2330", ecc=True) == memory("10de:2330", ecc=False)


def test_a_card_that_was_sold_with_two_sizes_is_not_guessed_at() -> None:
    assert memory("10de:1e30") is None  # Quadro RTX 6000 and 8000


@pytest.mark.parametrize(("text", "gib"), [("24G", 23.5), ("24576M", 23.5), ("81559M", 79.15)])
def test_what_a_person_writes_is_what_nvidia_smi_prints(text: str, gib: float) -> None:
    assert declared(text) / GIB == pytest.approx(gib, abs=0.01)


def test_every_card_of_the_table_is_there_once_and_of_a_known_family() -> None:
    ids = [str(text) for entry in table("memory")["cards"] for text in entry["ids"]]

    assert len(ids) == len(set(ids))
    assert [item for item in ids if family(f"10de:{item}") is None] == []
