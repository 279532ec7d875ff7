"""Does it fit? Numbers that people know, and laws that must hold for every shape."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.registry.fit import GIB, Shape, fewest, fits

LLAMA_8B = Shape(
    weights_bytes=16_060_522_496, layers=32, hidden_size=4096, heads=32, kv_heads=8, head_dim=128,
    vocabulary=128_256, context_length=131_072,
)  # fmt: skip
LLAMA_70B = Shape(
    weights_bytes=141_107_412_992, layers=80, hidden_size=8192, heads=64, kv_heads=8, head_dim=128,
    vocabulary=128_256, context_length=131_072,
)  # fmt: skip


def test_a_token_of_llama_8b_takes_128_kib_of_cache():
    assert LLAMA_8B.kv_bytes_per_token == 128 * 1024


@pytest.mark.parametrize(
    ("shape", "memory", "count", "context", "batch", "reason"),
    [
        (LLAMA_8B, 24, 1, 8192, 1, ""),
        (LLAMA_8B, 24, 1, 8192, 8, "cache"),
        (LLAMA_8B, 16, 1, 2048, 1, "weights"),
        (LLAMA_8B, 80, 1, 32_768, 8, ""),
        (LLAMA_70B, 80, 1, 8192, 1, "weights"),
        (LLAMA_70B, 80, 2, 4096, 1, ""),
        (LLAMA_70B, 80, 4, 8192, 16, ""),
        (LLAMA_70B, 80, 3, 8192, 1, "heads"),
        (Shape(weights_bytes=0), 80, 1, 8192, 1, "unknown"),
    ],
)
def test_known_models_on_known_cards(shape, memory, count, context, batch, reason):
    found = fits(shape, memory, count, context, batch)
    assert (found.reason, found.fits) == (reason, not reason)


def test_the_fewest_cards_are_found():
    assert fewest(LLAMA_8B, 24, 8192, 1).count == 1
    assert fewest(LLAMA_70B, 80, 8192, 8).count == 4
    assert not fewest(LLAMA_70B, 16, 8192, 8).fits


shapes = st.builds(
    Shape,
    weights_bytes=st.integers(1, 2000 * GIB),
    layers=st.integers(0, 200),
    hidden_size=st.integers(0, 20_000),
    heads=st.sampled_from([0, 8, 32, 64]),
    kv_heads=st.sampled_from([1, 2, 8]),
    head_dim=st.sampled_from([64, 128, 256]),
    vocabulary=st.integers(0, 300_000),
    context_length=st.integers(0, 1_000_000),
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(shapes, st.floats(1, 300), st.sampled_from([1, 2, 4, 8]), st.integers(1, 200_000), st.integers(1, 512))
def test_more_memory_never_fits_less_and_what_is_promised_fits(shape, memory, count, context, batch):
    found = fits(shape, memory, count, context, batch)
    if found.fits:
        assert fits(shape, memory * 2, count, context, batch).fits
        assert found.needed_gib <= memory
        assert found.most_batch >= 1
    if found.most_batch and found.reason != "heads":
        assert fits(shape, memory, count, context, found.most_batch).fits
