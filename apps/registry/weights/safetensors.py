"""Headers of safetensors files: the table of tensors, checked against the file's size."""

import struct
from collections import Counter
from math import prod
from typing import Annotated

import msgspec

from apps.registry.weights.facts import MIB, Read, Unreadable

LONGEST_HEADER = 16 * MIB  # a hundred thousand tensors
MOST_TENSORS = 200_000
MOST_DIMENSIONS = 8
BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8, "C64": 64,
}  # fmt: skip


class Tensor(msgspec.Struct, frozen=True):
    """What the header says of a tensor."""

    dtype: str
    shape: Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(max_length=MOST_DIMENSIONS)]
    data_offsets: tuple[int, int]

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    @property
    def bits(self) -> int:
        return self.parameters * BITS[self.dtype]


Header = dict[str, Tensor]
_table = msgspec.json.Decoder(dict[str, msgspec.Raw])
_tensor = msgspec.json.Decoder(Tensor)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_header(read: Read, size: int) -> Header:
    """The tensors by name, without `__metadata__`."""
    if size < 8:
        raise Unreadable("This is not a safetensors file.")
    (length,) = struct.unpack("<Q", read(0, 8))
    if length > size - 8:
        raise Unreadable("This is not a safetensors file: its header would be longer than the file.")
    if length > LONGEST_HEADER:
        raise Unreadable("The header of the safetensors file is too long.")
    try:
        table = _table.decode(_gather(read, length))
    except _UNREADABLE as error:
        raise Unreadable("The header of the safetensors file is not a table of tensors.") from error
    table.pop("__metadata__", None)
    if len(table) > MOST_TENSORS:
        raise Unreadable("The header of the safetensors file names too many tensors.")
    header = {name: _described(name, about) for name, about in table.items()}
    _check(header, size - 8 - length)
    return header


def _described(name: str, about: msgspec.Raw) -> Tensor:
    try:
        tensor = _tensor.decode(about)
    except _UNREADABLE as error:
        raise Unreadable(f"The tensor {name[:80]} is not described.") from error
    if tensor.dtype not in BITS:
        raise Unreadable(f"The tensor {name[:80]} is of a kind that is not known here.")
    return tensor


def _gather(read: Read, length: int) -> bytes:
    step = 8 * MIB
    return b"".join(read(8 + at, min(step, length - at)) for at in range(0, length, step))


def _check(header: Header, room: int) -> None:
    """Tensors follow one another without hole or overlap, to the end of the file."""
    at = 0
    for name, tensor in sorted(header.items(), key=lambda one: one[1].data_offsets):
        begin, end = tensor.data_offsets
        if begin != at or (end - begin) * 8 != -(-tensor.bits // 8) * 8:
            raise Unreadable(f"The tensor {name[:80]} does not lie where it should.")
        at = end
    if at != room:
        raise Unreadable(f"The file has {room} bytes of tensors; its header describes {at}.")


def parameters_of(header: Header) -> int:
    """How many numbers the tensors have."""
    return sum(tensor.parameters for tensor in header.values())


def dtype_of(headers: list[Header]) -> str:
    """What most of the numbers are written in."""
    counted: Counter[str] = Counter()
    for header in headers:
        for tensor in header.values():
            counted[tensor.dtype] += tensor.bits
    return counted.most_common(1)[0][0] if counted else ""
