"""Files that lie about themselves are refused for what a header costs to read, and never break a pass."""

import json
import struct
import tracemalloc
from typing import Any

import pytest

from apps.registry.weights import Source, Unreadable, describe, gguf, safetensors

MIB = 1024 * 1024
HUGE = 2**60


def source(path: str, body: bytes, size: int = 0) -> Source:
    """A file with this beginning that claims to have so many bytes."""
    return Source(path, size or len(body), lambda at, length: body[at : at + length])


def safe(header: Any, *, data: int = 0, length: int | None = None) -> bytes:
    body = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(body) if length is None else length) + body + b"\0" * data


def tensor(**about: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **about}


def said(text: str | bytes) -> bytes:
    body = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(body)) + body


def gguf_file(*entries: bytes, count: int | None = None, tensors: int = 0) -> bytes:
    return (
        b"GGUF"
        + struct.pack("<IQQ", 3, tensors, len(entries) if count is None else count)
        + b"".join(entries)
    )


CONFIG = source("config.json", b'{"architectures": ["Llama"], "hidden_size": 8}')


@pytest.mark.parametrize(
    ("body", "size"),
    [
        (safe({}, length=HUGE), 2 * HUGE),
        (safe({}, length=2**64 - 1), 0),
        (safe({}, length=100 * MIB), 200 * MIB),
        (safe(b"[" * 100_000), 0),
        (safe(b'{"a":' * 100_000), 0),
        (safe(b'{"a":{"b":' + b"[" * 100_000 + b"}}"), 0),
        (safe({"a": tensor(shape=["long" * 1000, 10**9])}, data=8), 0),
        (safe({"a": tensor(shape=[10**18] * 1000)}, data=8), 0),
        (safe({"a": tensor(shape=[-1])}, data=8), 0),
        (safe({"a": tensor(shape=[True])}, data=8), 0),
        (safe({"a": tensor(shape=[HUGE] * 8)}, data=8), 0),
        (safe({"a": tensor(data_offsets=[0, HUGE])}, data=8), 0),
        (safe({"a": tensor(dtype="F1")}, data=8), 0),
        (safe({"a": tensor(), "b": tensor()}, data=8), 0),
        (safe({"a\0b\ud800": tensor(dtype="")}, data=8), 0),
        (safe([1, 2]), 0),
        (b"\xff" * 64, 0),
        (b"", 7),
    ],
)
def test_a_lying_safetensors_header_is_refused_for_little(body: bytes, size: int) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable) as refused:
            describe([CONFIG, source("model.safetensors", body, size)])
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "body",
    [
        gguf_file(count=2**63),
        gguf_file(tensors=2**63),
        gguf_file(said("a") + struct.pack("<IIQ", 9, 8, 2**62)),
        gguf_file(said("a") + struct.pack("<IIQ", 9, 4, 2**62)),
        gguf_file(said("a") + struct.pack("<IIQ", 9, 9, 1)),
        gguf_file(said("a") + struct.pack("<IQ", 8, 2**62)),
        gguf_file(struct.pack("<Q", 2**62)),
        gguf_file(*(said(f"k{number}") + struct.pack("<IIQ", 9, 0, 3_000_000) for number in range(2))),
        gguf_file(said("t") + struct.pack("<IQQIQ", 1, HUGE, 0, 0, 0), count=0, tensors=1),
        gguf_file(said("t") + struct.pack("<I", 2**31), count=0, tensors=1),
    ],
)
def test_a_lying_gguf_header_is_refused_for_little(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable):
            describe([source("m.gguf", body, 2 * HUGE)])
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()


def test_what_a_file_says_at_length_is_passed_over_and_not_kept() -> None:
    lists = [said(f"k{n}") + struct.pack("<IIQ", 9, 0, 4000) + b"\1" * 4000 for n in range(40)]
    long = said("tokenizer.chat_template") + struct.pack("<I", 8) + said(b"x" * (2 * MIB))
    body = gguf_file(said("general.architecture") + struct.pack("<I", 8) + said("lla\0ma"), long, *lists)
    header = gguf.read_header(source("m.gguf", body).read, len(body))
    assert sum(map(len, (one for one in header.values.values() if isinstance(one, list)))) <= gguf.KEPT
    assert header.text("tokenizer.chat_template") == ""
    assert gguf.facts_of(header).architecture == "llama"


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[]", b"{", b"\xff", b'{"a": 1' + b"0" * 5000 + b"}"])
def test_a_configuration_that_is_none_is_refused(body: bytes) -> None:
    weights = source("model.safetensors", safe({"a": tensor()}, data=8))
    with pytest.raises(Unreadable):
        describe([source("config.json", body), weights])


def test_a_configuration_of_100_mb_is_not_even_read() -> None:
    def read(_at: int, _length: int) -> bytes:
        raise AssertionError

    weights = source("model.safetensors", safe({"a": tensor()}, data=8))
    with pytest.raises(Unreadable, match="too long"):
        describe([Source("config.json", 100 * MIB, read), weights])


def test_what_cannot_be_kept_is_left_out_of_the_facts() -> None:
    config = (
        b'{"architectures": ["Lla\\u0000ma\\ud800"], "quantization_config": {"quant_method": "a\\u0000"}}'
    )
    weights = source("model.safetensors", safe({"__metadata__": {"shape": "x"}, "a": tensor()}, data=8))
    facts = describe([source("config.json", config), weights])
    assert (facts.architecture, facts.dtype, facts.parameters) == ("Llama", "a", 2)
    assert safetensors.LONGEST_HEADER == 16 * MIB
