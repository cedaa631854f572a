import pytest

from stackctl.nvidia.families import family
from stackctl.nvidia.tables import table


@pytest.mark.parametrize(
    ("pci_id", "card", "name", "capability", "modules", "branches"),
    [
        ("10de:1380", "GTX 750 Ti", "Maxwell", (5, 0), "proprietary", (None, 580)),
        ("10de:17fd", "M40", "Maxwell", (5, 2), "proprietary", (None, 580)),
        ("10de:15f8", "P100", "Pascal", (6, 0), "proprietary", (None, 580)),
        ("10de:1b06", "GTX 1080 Ti", "Pascal", (6, 1), "proprietary", (None, 580)),
        ("10de:1db6", "V100", "Volta", (7, 0), "proprietary", (None, 580)),
        ("10de:1df6", "V100S", "Volta", (7, 0), "proprietary", (None, 580)),
        ("10de:1e02", "TITAN RTX", "Turing", (7, 5), "open proprietary", (410, None)),
        ("10de:1eb8", "T4", "Turing", (7, 5), "open proprietary", (410, None)),
        ("10de:21d1", "GTX 1660 Ti", "Turing", (7, 5), "open proprietary", (410, None)),
        ("10de:20b2", "A100", "Ampere", (8, 0), "open proprietary", (450, None)),
        ("10de:2204", "RTX 3090", "Ampere", (8, 6), "open proprietary", (455, None)),
        ("10de:2684", "RTX 4090", "Ada", (8, 9), "open proprietary", (520, None)),
        ("10de:2330", "H100", "Hopper", (9, 0), "open proprietary", (520, None)),
        ("10de:2342", "GH200", "Grace Hopper", (9, 0), "open", (570, None)),
        ("10de:2901", "B200", "Blackwell", (10, 0), "open", (570, None)),
        ("10de:2941", "GB200", "Blackwell", (10, 0), "open", (570, None)),
        ("10de:3182", "B300", "Blackwell Ultra", (10, 3), "open", (570, None)),
        ("10de:31c2", "GB300", "Blackwell Ultra", (10, 3), "open", (570, None)),
        ("10de:2b85", "RTX 5090", "Blackwell RTX", (12, 0), "open", (570, None)),
        ("10de:2dd8", "RTX 5050 Laptop", "Blackwell RTX", (12, 0), "open", (570, None)),
    ],
)
def test_a_cards_id_tells_what_its_driver_has_to_be(
    pci_id: str, card: str, name: str, capability: object, modules: str, branches: object
) -> None:
    found = family(pci_id)

    assert found is not None, card
    assert (found.name, found.capability) == (name, capability)
    assert (" ".join(found.modules), (found.first, found.last)) == (modules, branches)


@pytest.mark.parametrize("pci_id", ["10de:1339", "10de:0fbc", "10de:ffff"])
def test_a_card_that_is_too_old_or_too_new_for_the_table_is_of_no_family(pci_id: str) -> None:
    assert family(pci_id) is None


@pytest.mark.parametrize(
    ("pci_id", "market"),
    [
        ("10de:1db6", "data centre"),
        ("10de:27b8", "data centre"),
        ("10de:20b2", "data centre"),
        ("10de:2684", "GeForce"),
        ("10de:1b06", "GeForce"),
        ("10de:26b1", None),  # RTX 6000 Ada, a workstation's
    ],
)
def test_the_id_tells_whom_a_card_was_made_for(pci_id: str, market: str | None) -> None:
    found = family(pci_id)

    assert found is not None
    assert found.market == market


@pytest.mark.parametrize(
    ("pci_id", "mig"),
    [
        ("10de:20b2", True),
        ("10de:2330", True),
        ("10de:2bb5", True),
        ("10de:2684", False),
        ("10de:2b85", False),
    ],
)
def test_the_id_tells_whether_a_card_has_mig(pci_id: str, mig: bool) -> None:
    found = family(pci_id)

    assert found is not None
    assert found.mig is mig


def test_cuda_13_dropped_what_is_older_than_turing_and_12_8_brought_blackwell() -> None:
    ids = {"Volta": "10de:1db6", "Turing": "10de:1eb8", "Blackwell RTX": "10de:2b85"}
    found = {name: family(pci_id) for name, pci_id in ids.items()}

    assert {name: (item.first_cuda, item.last_cuda) for name, item in found.items() if item is not None} == {
        "Volta": ((9, 0), (12, 9)),
        "Turing": ((10, 0), None),
        "Blackwell RTX": ((12, 8), None),
    }


def test_no_id_is_of_two_families() -> None:
    ranges = sorted(text.split("-") for entry in table("families")["families"] for text in entry["ids"])
    ends = [end for pair in ranges for end in pair]

    assert ends == sorted(ends)
