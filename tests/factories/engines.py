"""Models for tests of engines: the demonstration model, and a small encoder with a second opinion on it.

`tests/plugin.py` ends the engines that a test process started.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "apps" / "registry" / "bundled" / "tiny-chat-q8_0.gguf"
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "sat", "##s", "invoice")
SHAPE = {
    "max_position_embeddings": 32, "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128,
    "num_attention_heads": 2, "layer_norm_eps": 1e-12,
}  # fmt: skip


def encoder(seed: int = 7) -> dict[str, Any]:
    """The tensors of a small BERT with weights drawn at random, by their publisher's names."""
    drawn = np.random.default_rng(seed)
    wide, deep = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    made = {
        "embeddings.word_embeddings.weight": drawn.normal(0, 1, (len(WORDS), wide)),
        "embeddings.position_embeddings.weight": drawn.normal(0, 0.3, (32, wide)),
        "embeddings.token_type_embeddings.weight": drawn.normal(0, 0.3, (2, wide)),
        "embeddings.LayerNorm.weight": np.ones(wide),
        "embeddings.LayerNorm.bias": np.zeros(wide),
    }
    for layer in range(int(SHAPE["num_hidden_layers"])):
        shapes = {f"attention.self.{one}": (wide, wide) for one in ("query", "key", "value")}
        shapes |= {"attention.output.dense": (wide, wide), "attention.output.LayerNorm": (wide,)}
        shapes |= {
            "intermediate.dense": (deep, wide),
            "output.dense": (wide, deep),
            "output.LayerNorm": (wide,),
        }
        for name, shape in shapes.items():
            weight = np.ones(wide) if len(shape) == 1 else drawn.normal(0, 0.15, shape)
            made[f"encoder.layer.{layer}.{name}.weight"] = weight
            made[f"encoder.layer.{layer}.{name}.bias"] = drawn.normal(0, 0.1, shape[0])
    return {name: values.astype(np.float32) for name, values in made.items()}


def embed(tensors: dict[str, Any], tokens: Sequence[int]) -> Any:
    """What the encoder makes of these tokens: the mean over them, of length one."""
    front = "embeddings."
    x = tensors[f"{front}word_embeddings.weight"][list(tokens)]
    x = x + tensors[f"{front}position_embeddings.weight"][: len(tokens)]
    x = _even(x + tensors[f"{front}token_type_embeddings.weight"][0], tensors, "embeddings.LayerNorm")
    for layer in range(int(SHAPE["num_hidden_layers"])):
        at = f"encoder.layer.{layer}."
        q, k, v = (
            _heads(_through(x, tensors, f"{at}attention.self.{one}")) for one in ("query", "key", "value")
        )
        scores = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1]))
        seen = (scores / scores.sum(-1, keepdims=True)) @ v
        seen = _through(seen.transpose(1, 0, 2).reshape(x.shape), tensors, f"{at}attention.output.dense")
        x = _even(x + seen, tensors, f"{at}attention.output.LayerNorm")
        inner = _through(x, tensors, f"{at}intermediate.dense")
        inner = 0.5 * inner * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
        x = _even(x + _through(inner, tensors, f"{at}output.dense"), tensors, f"{at}output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def _through(x: Any, tensors: dict[str, Any], name: str) -> Any:
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def _even(x: Any, tensors: dict[str, Any], name: str) -> Any:
    spread = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    return spread * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def _heads(x: Any) -> Any:
    return x.reshape(len(x), SHAPE["num_attention_heads"], -1).transpose(1, 0, 2)
