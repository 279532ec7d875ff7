"""A BERT encoder as its publisher gives it, written as GGUF, so that llama.cpp embeds with it."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.registry.weights import safetensors
from apps.registry.weights.gguf import ARRAY, MAGIC, STRING

Floats = NDArray[np.float32]

ALIGNMENT = 32
BLOCK = 32  # elements that share a scale in Q8_0
F32, Q8_0 = 0, 8
UINT32, INT32, FLOAT, BOOL = 4, 5, 6, 7
MOSTLY_Q8_0, MEAN_POOLING = 7, 1
NORMAL, CONTROL = 1, 3
_CODES = {UINT32: "<I", INT32: "<i", FLOAT: "<f", BOOL: "<?"}

# Their names to llama.cpp's.
_FRONT = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_SPECIAL = {
    "bos": "[CLS]",
    "cls": "[CLS]",
    "eos": "[SEP]",
    "seperator": "[SEP]",  # the format spells it so
    "padding": "[PAD]",
    "unknown": "[UNK]",
    "mask": "[MASK]",
}


@dataclass
class Writer:
    """A GGUF file (format 3) in the making."""

    entries: list[bytes] = field(default_factory=list)
    tensors: list[tuple[str, tuple[int, ...], int, bytes]] = field(default_factory=list)

    def text(self, key: str, value: str) -> None:
        self.entries.append(_string(key) + struct.pack("<I", STRING) + _string(value))

    def plain(self, key: str, kind: int, value: float | bool) -> None:
        self.entries.append(_string(key) + struct.pack("<I", kind) + struct.pack(_CODES[kind], value))

    def texts(self, key: str, values: Sequence[str]) -> None:
        self._array(key, STRING, map(_string, values), len(values))

    def plains(self, key: str, kind: int, values: Sequence[float]) -> None:
        self._array(key, kind, (struct.pack(_CODES[kind], one) for one in values), len(values))

    def _array(self, key: str, kind: int, packed: Iterable[bytes], length: int) -> None:
        head = struct.pack("<IIQ", ARRAY, kind, length)
        self.entries.append(_string(key) + head + b"".join(packed))

    def tensor(self, name: str, values: Floats, *, is_exact: bool) -> None:
        """Keep it as it is, or with eight bits per weight."""
        data = values.astype("<f4").tobytes() if is_exact else quantize(values)
        self.tensors.append((name, values.shape[::-1], F32 if is_exact else Q8_0, data))

    def whole(self) -> bytes:
        table, data = b"", b""
        for name, shape, kind, body in self.tensors:
            table += _string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
            table += struct.pack("<IQ", kind, len(data))
            data += _padded(body)
        head = MAGIC + struct.pack("<IQQ", 3, len(self.tensors), len(self.entries))
        return _padded(head + b"".join(self.entries) + table) + data


def quantize(values: Floats) -> bytes:
    """Q8_0: blocks of 32 whole numbers of eight bits, each with a scale of sixteen."""
    blocks = values.reshape(-1, BLOCK)
    scales = np.abs(blocks).max(axis=1, keepdims=True) / 127.0
    inverse = np.divide(1.0, scales, out=np.zeros_like(scales), where=scales > 0)
    numbers = np.rint(blocks * inverse).astype(np.int8)
    halves = scales.astype("<f2").view(np.int8).reshape(-1, 2)
    return np.concatenate([halves, numbers], axis=1).tobytes()


def read_tensors(body: bytes) -> dict[str, Floats]:
    """What a safetensors file holds with 32 bits per weight; raises Unreadable."""
    header = safetensors.read_header(lambda at, length: body[at : at + length], len(body))
    (length,) = struct.unpack_from("<Q", body)
    found = {}
    for name, about in header.items():
        if about.dtype == "F32":
            first, last = about.data_offsets
            values = np.frombuffer(body, "<f4", (last - first) // 4, 8 + length + first)
            found[name.removeprefix("bert.")] = values.reshape(about.shape)
    return found


def to_gguf(
    *, name: str, licence: str, config: Mapping[str, Any], words: Sequence[str], tensors: Mapping[str, Floats]
) -> bytes:
    """The whole file. `words` is the vocabulary, one token each; vectors are the mean over the tokens."""
    made = Writer()
    made.text("general.architecture", "bert")
    made.text("general.name", name)
    made.text("general.license", licence)
    made.plain("general.file_type", UINT32, MOSTLY_Q8_0)
    made.plain("general.quantization_version", UINT32, 2)
    _say_shape(made, config)
    _say_words(made, words)
    for theirs, ours in _FRONT.items():
        made.tensor(ours, tensors[theirs], is_exact=not ours.startswith("token_embd.weight"))
    for layer in range(int(config["num_hidden_layers"])):
        for theirs, ours in _LAYER.items():
            for part in ("weight", "bias"):
                values = tensors[f"encoder.layer.{layer}.{theirs}.{part}"]
                made.tensor(f"blk.{layer}.{ours}.{part}", values, is_exact=values.ndim == 1)
    return made.whole()


def _say_shape(made: Writer, config: Mapping[str, Any]) -> None:
    for key, said in {
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "block_count": "num_hidden_layers",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
    }.items():
        made.plain(f"bert.{key}", UINT32, int(config[said]))
    made.plain("bert.attention.layer_norm_epsilon", FLOAT, float(config["layer_norm_eps"]))
    made.plain("bert.attention.causal", BOOL, False)
    made.plain("bert.pooling_type", UINT32, MEAN_POOLING)


def _say_words(made: Writer, words: Sequence[str]) -> None:
    made.text("tokenizer.ggml.model", "bert")
    made.text("tokenizer.ggml.pre", "default")
    made.plain("tokenizer.ggml.token_type_count", UINT32, 2)
    made.texts("tokenizer.ggml.tokens", [_word(one) for one in words])
    kinds = [CONTROL if _is_special(one) else NORMAL for one in words]
    made.plains("tokenizer.ggml.token_type", INT32, kinds)
    made.plains("tokenizer.ggml.scores", FLOAT, [0.0] * len(words))
    for role, word in _SPECIAL.items():
        made.plain(f"tokenizer.ggml.{role}_token_id", UINT32, words.index(word))


def _word(word: str) -> str:
    """What begins a word is marked; what goes on within one is not."""
    if _is_special(word):
        return word
    return word[2:] if word.startswith("##") else f"\u2581{word}"


def _is_special(word: str) -> bool:
    return len(word) > 2 and word.startswith("[") and word.endswith("]")


def _string(text: str) -> bytes:
    body = text.encode()
    return struct.pack("<Q", len(body)) + body


def _padded(body: bytes) -> bytes:
    return body + b"\0" * (-len(body) % ALIGNMENT)
