"""Amounts of a quota, as people read them."""

import pytest

from apps.policies.selectors import amount_of
from apps.policies.specs import DISK, MEMORY, VCPUS


@pytest.mark.parametrize(
    ("metric", "amount", "said"),
    [
        (MEMORY, 512, "512 MiB"),
        (MEMORY, 1536, "1.5 GiB"),
        (MEMORY, 16 * 1024 * 1024, "16 TiB"),
        (DISK, 250, "250 GiB"),
        (DISK, 200_000, "195.3 TiB"),
        (VCPUS, 2048, "2,048"),
        ("gpu:h100-80gb", 0, "0"),
    ],
)
def test_sizes_are_sizes_and_counts_are_counts(metric: str, amount: int, said: str) -> None:
    assert amount_of(metric, amount) == said
