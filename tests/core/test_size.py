"""Amounts of data as a person reads them."""

import pytest

from stackctl.core.size import sized


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (248_000, "248.0 KB"),
        (999_960, "1.0 MB"),
        (19_300_000_000, "19.3 GB"),
        (2_500_000_000_000_000, "2500.0 TB"),
    ],
)
def test_a_number_of_bytes_is_read_at_a_glance(count: int, text: str) -> None:
    assert sized(count) == text
