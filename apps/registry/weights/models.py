"""From the files of a version to what it is: one GGUF (or its shards), or safetensors with their config."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from apps.registry.weights import gguf, safetensors
from apps.registry.weights.facts import Facts, Read, Unreadable, printable

LONGEST_CONFIG = 4 * 1024 * 1024
MOST = 2**31


@dataclass(frozen=True, slots=True)
class Source:
    """A file: its path in the model, its size in bytes, and how to read some of it."""

    path: str
    size: int
    read: Read

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def whole(self) -> bytes:
        """A small text."""
        return self.read(0, self.size)


def describe(sources: Iterable[Source]) -> Facts:
    """What the files say; raises Unreadable with the path of the one that is wrong."""
    files = list(sources)
    weights = [one for one in files if one.path.endswith(".gguf")]
    if weights:
        return _of_gguf(weights)
    return _of_safetensors(files)


def _of_gguf(weights: list[Source]) -> Facts:
    headers = [_guarded(one, gguf.read_header) for one in sorted(weights, key=_path)]
    main = [one for one in headers if one.text("general.architecture") != "clip"]
    if not main:
        raise Unreadable("There is no language model among the files.")
    shards = main[0].number("split.count") or 1
    if len(main) != shards:
        raise Unreadable(
            "A version holds one GGUF file or all the shards of one; "
            f"here are {len(main)} files, and {shards} belong together."
        )
    facts = gguf.facts_of(main[0])
    return replace(facts, parameters=sum(one.parameters for one in main))


def _of_safetensors(files: list[Source]) -> Facts:
    weights = [one for one in files if one.path.endswith(".safetensors")]
    if not weights:
        raise Unreadable("There are no weights.")
    headers = [_guarded(one, safetensors.read_header) for one in sorted(weights, key=_path)]
    config = next((one for one in files if one.path == "config.json"), None)
    if config is None:
        raise Unreadable("There is no config.json, which says how to build the model.")
    facts = _of_config(_json(config))
    return replace(
        facts,
        format="safetensors",
        parameters=sum(safetensors.parameters_of(one) for one in headers),
        dtype=facts.dtype or safetensors.dtype_of(headers),
        has_chat_template=_has_template(files),
    )


def _guarded(source: Source, reader: Any) -> Any:
    try:
        return reader(source.read, source.size)
    except Unreadable as error:
        raise Unreadable(f"{source.path}: {error}") from error


def _path(source: Source) -> str:
    return source.path


def _json(source: Source) -> dict[str, Any]:
    if source.size > LONGEST_CONFIG:
        raise Unreadable(f"{source.path} is too long.")
    try:
        found = json.loads(source.whole())
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{source.path} is not JSON.") from error
    if not isinstance(found, dict):
        raise Unreadable(f"{source.path} is no configuration.")
    return found


def _of_config(config: dict[str, Any]) -> Facts:
    """A transformers configuration; what a model of several kinds says of its text part counts."""
    names = config.get("architectures")
    named = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    inner = config.get("text_config")
    text: dict[str, Any] = {**config, **inner} if isinstance(inner, dict) else config
    heads, hidden = _number(text, "num_attention_heads"), _number(text, "hidden_size")
    quantised = config.get("quantization_config")
    method = printable(str(quantised.get("quant_method", "")))[:20] if isinstance(quantised, dict) else ""
    return Facts(
        architecture=printable(named or str(text.get("model_type", "")))[:80],
        context_length=_number(text, "max_position_embeddings"),
        dtype=method,
        layers=_number(text, "num_hidden_layers"),
        hidden_size=hidden,
        heads=heads,
        kv_heads=_number(text, "num_key_value_heads") or heads,
        head_dim=_number(text, "head_dim") or (hidden // heads if heads else 0),
        vocabulary=_number(text, "vocab_size"),
    )


def _number(config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    return value if type(value) is int and 0 < value < MOST else 0


def _has_template(files: list[Source]) -> bool:
    """In a file of its own, or among the tokenizer's settings."""
    if any(one.name in ("chat_template.jinja", "chat_template.json") for one in files):
        return True
    settings = next((one for one in files if one.path == "tokenizer_config.json"), None)
    if settings is None or settings.size > LONGEST_CONFIG:
        return False
    return bool(_json(settings).get("chat_template"))
