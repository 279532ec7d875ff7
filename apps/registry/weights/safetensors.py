"""Headers of safetensors files: the table of tensors, checked against the file's size."""

import json
import struct
from collections import Counter
from math import prod
from typing import Any

from apps.registry.weights.facts import MIB, Read, Unreadable

LONGEST_HEADER = 100_000_000  # the reference implementation's own limit
BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8, "C64": 64,
}  # fmt: skip


def read_header(read: Read, size: int) -> dict[str, Any]:
    """The tensors by name, without `__metadata__`."""
    if size < 8:
        raise Unreadable("This is not a safetensors file.")
    (length,) = struct.unpack("<Q", read(0, 8))
    if length > min(LONGEST_HEADER, size - 8):
        raise Unreadable("This is not a safetensors file: its header would be longer than the file.")
    try:
        header = json.loads(_gather(read, length))
    except ValueError as error:
        raise Unreadable("The header of the safetensors file is not JSON.") from error
    if not isinstance(header, dict):
        raise Unreadable("The header of the safetensors file names no tensors.")
    header.pop("__metadata__", None)
    _check(header, size - 8 - length)
    return header


def _gather(read: Read, length: int) -> bytes:
    step = 8 * MIB
    return b"".join(read(8 + at, min(step, length - at)) for at in range(0, length, step))


def _check(header: dict[str, Any], room: int) -> None:
    """Tensors follow one another without hole or overlap, to the end of the file."""
    at = 0
    for name, begin, end, bits in sorted(
        (_tensor(name, about) for name, about in header.items()), key=_offsets
    ):
        if begin != at or (end - begin) * 8 != -(-bits // 8) * 8:
            raise Unreadable(f"The tensor {name[:80]} does not lie where it should.")
        at = end
    if at != room:
        raise Unreadable(f"The file has {room} bytes of tensors; its header describes {at}.")


def _offsets(tensor: tuple[str, int, int, int]) -> tuple[int, int]:
    return tensor[1], tensor[2]


def _tensor(name: str, about: Any) -> tuple[str, int, int, int]:
    try:
        (begin, end), dtype, shape = about["data_offsets"], about["dtype"], about["shape"]
        numbers = [begin, end, *shape]
        bits = prod(shape) * BITS[dtype]
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"The tensor {name[:80]} is not described.") from error
    if any(type(one) is not int or one < 0 for one in numbers):
        raise Unreadable(f"The tensor {name[:80]} is not described.")
    return name, begin, end, bits


def parameters_of(header: dict[str, Any]) -> int:
    """How many numbers the tensors have."""
    return sum(prod(about["shape"]) for about in header.values())


def dtype_of(headers: list[dict[str, Any]]) -> str:
    """What most of the numbers are written in."""
    counted: Counter[str] = Counter()
    for header in headers:
        for about in header.values():
            counted[about["dtype"]] += prod(about["shape"]) * BITS[about["dtype"]]
    return counted.most_common(1)[0][0] if counted else ""
