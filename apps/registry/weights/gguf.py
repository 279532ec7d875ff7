"""Headers of GGUF files: metadata and the table of tensors (format 2 and 3)."""

import struct
from dataclasses import dataclass, field
from math import prod

from apps.registry.weights.facts import MIB, Cursor, Facts, Read, Unreadable, printable

MAGIC = b"GGUF"
LONGEST_HEADER = 128 * MIB
LONGEST_NAME = 1024
LONGEST_TEXT = MIB  # longer ones are passed over
MOST_ENTRIES = 100_000
MOST_TENSORS = 200_000
MOST_ITEMS = 4_000_000  # of all lists together
MOST_KEPT = 4096  # numbers of a list: one per layer
KEPT = 16 * MOST_KEPT  # … and of all lists together
STRING, ARRAY = 8, 9
# Codes of `struct` for the kinds of plain values.
PLAIN = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

# Kind of tensor: name, elements of a block, bytes of a block.
TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}  # fmt: skip
MIXTURES = {
    10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 21: "Q2_K_S", 22: "IQ3_XS", 27: "IQ3_M", 29: "IQ2_M",
}  # fmt: skip


@dataclass
class Header:
    """What one file says; `lengths` are those of its lists, `items` and `kept` how much there was in all."""

    values: dict[str, object] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    parameters: int = 0
    bytes_by_type: dict[str, int] = field(default_factory=dict)
    items: int = 0
    kept: int = 0

    def number(self, key: str) -> int:
        """A whole number, or 0; of a number per layer the largest."""
        value = self.values.get(key)
        if isinstance(value, list):
            value = max((one for one in value if isinstance(one, int)), default=0)
        return value if isinstance(value, int) and 0 < value < 2**31 else 0

    def text(self, key: str) -> str:
        value = self.values.get(key)
        return value if isinstance(value, str) else ""


def read_header(read: Read, size: int) -> Header:
    """Read and check a header: every tensor must lie inside the file."""
    cursor = Cursor(read, size, LONGEST_HEADER)
    if size < 24 or cursor.take(4) != MAGIC:
        raise Unreadable("This is not a GGUF file.")
    if cursor.number("I") not in (2, 3):
        raise Unreadable("This version of GGUF is not known here.")
    tensors, entries = cursor.number("Q"), cursor.number("Q")
    if tensors > MOST_TENSORS or entries > MOST_ENTRIES:
        raise Unreadable("The header promises too much.")
    header = Header()
    for _entry in range(entries):
        _read_entry(cursor, header)
    _read_tensors(cursor, header, tensors, size)
    return header


def _read_entry(cursor: Cursor, header: Header) -> None:
    key, kind = _name(cursor), cursor.number("I")
    if kind == ARRAY:
        kept, header.lengths[key] = _array(cursor, header)
        if kept:
            header.values[key] = kept
    elif kind == STRING:
        header.values[key] = _text(cursor)
    else:
        header.values[key] = cursor.number(_code(kind))


def _array(cursor: Cursor, header: Header) -> tuple[list[int], int]:
    """Short arrays of numbers are kept; vocabularies are passed over."""
    kind, length = cursor.number("I"), cursor.number("Q")
    header.items += length
    if header.items > MOST_ITEMS:
        raise Unreadable("The lists in the header are too long.")
    if kind == STRING:
        for _item in range(length):
            cursor.skip(cursor.number("Q"))
        return [], length
    code = _code(kind)
    width = struct.calcsize(f"<{code}")
    if length > MOST_KEPT or header.kept + length > KEPT:
        cursor.skip(length * width)
        return [], length
    header.kept += length
    return list(struct.unpack(f"<{length}{code}", cursor.take(length * width))), length


def _code(kind: int) -> str:
    if kind not in PLAIN:
        raise Unreadable("The header holds a kind of value that is not known here.")
    return PLAIN[kind]


def _text(cursor: Cursor) -> str:
    length = cursor.number("Q")
    if length > LONGEST_TEXT:
        cursor.skip(length)
        return ""
    return cursor.take(length).decode("utf-8", "replace")


def _name(cursor: Cursor) -> str:
    length = cursor.number("Q")
    if length > LONGEST_NAME:
        raise Unreadable("A name in the header is too long.")
    return cursor.take(length).decode("utf-8", "replace")


def _read_tensors(cursor: Cursor, header: Header, count: int, size: int) -> None:
    ends = [0]
    for _tensor in range(count):
        ends.append(_read_tensor(cursor, header))
    alignment = header.number("general.alignment") or 32
    start = -(-cursor.at // alignment) * alignment if count else cursor.at
    if start + max(ends) > size:
        raise Unreadable(f"The file has {size} bytes; its header describes {start + max(ends)}.")


def _read_tensor(cursor: Cursor, header: Header) -> int:
    """Where in the data the tensor ends."""
    _name(cursor)
    dimensions = cursor.number("I")
    if not 0 < dimensions <= 4:
        raise Unreadable("A tensor has no shape.")
    elements = prod(cursor.number("Q") for _dimension in range(dimensions))
    kind, offset = cursor.number("I"), cursor.number("Q")
    if kind not in TYPES:
        raise Unreadable("A tensor is of a kind that is not known here.")
    name, block, width = TYPES[kind]
    length = -(-elements // block) * width
    header.parameters += elements
    header.bytes_by_type[name] = header.bytes_by_type.get(name, 0) + length
    return offset + length


def facts_of(header: Header) -> Facts:
    """The header in our words."""
    kind = printable(header.text("general.architecture"))
    if not kind:
        raise Unreadable("The file does not say which architecture it is for.")
    heads = header.number(f"{kind}.attention.head_count")
    hidden = header.number(f"{kind}.embedding_length")
    return Facts(
        format="gguf",
        architecture=kind[:80],
        parameters=header.parameters,
        context_length=header.number(f"{kind}.context_length"),
        dtype=_dtype(header),
        layers=header.number(f"{kind}.block_count"),
        hidden_size=hidden,
        heads=heads,
        kv_heads=header.number(f"{kind}.attention.head_count_kv") or heads,
        head_dim=header.number(f"{kind}.attention.key_length") or (hidden // heads if heads else 0),
        vocabulary=header.lengths.get("tokenizer.ggml.tokens", 0) or header.number(f"{kind}.vocab_size"),
        has_chat_template=bool(header.text("tokenizer.chat_template")),
    )


def _dtype(header: Header) -> str:
    """The mixture that the file names, else what most of its bytes are."""
    named = MIXTURES.get(header.number("general.file_type") % 1024)
    most = max(header.bytes_by_type, key=lambda name: header.bytes_by_type[name], default="")
    return named or most
