"""What of a folder belongs to a model."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostedai_sdk.errors import HostedaiError

WEIGHTS = (".safetensors", ".gguf")
BESIDE = (".json", ".txt", ".md", ".jinja", ".model", ".tiktoken", ".spm")
NAMED = ("LICENSE", "LICENCE", "NOTICE", "README")
CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Found:
    """A file to send: its path in the model, and where it is."""

    path: str
    source: Path
    size: int
    sha256: str


def files_of(path: Path, progress: Callable[[str, int, int], None]) -> list[Found]:
    """The file, or what of the folder a model is made of, hashed. Pickles and programs stay at home."""
    if path.is_file():
        return [_found(path, path.name, progress)]
    if not path.is_dir():
        raise HostedaiError(f"There is no {path}.")
    chosen = [
        one
        for one in sorted(path.rglob("*"))
        if one.is_file() and one.stat().st_size and is_part_of_a_model(one.relative_to(path))
    ]
    if not any(one.name.endswith(WEIGHTS) for one in chosen):
        raise HostedaiError(f"{path} holds no weights (.safetensors or .gguf).")
    return [_found(one, one.relative_to(path).as_posix(), progress) for one in chosen]


def is_part_of_a_model(path: Path) -> bool:
    """Whether a file of this name is sent."""
    if any(part.startswith(".") for part in path.parts):
        return False
    return path.name.lower().endswith(WEIGHTS + BESIDE) or path.name.partition(".")[0].upper() in NAMED


def _found(source: Path, path: str, progress: Callable[[str, int, int], None]) -> Found:
    digest, size = hashlib.sha256(), source.stat().st_size
    if not size:
        raise HostedaiError(f"{source} is empty.")
    done = 0
    with source.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress(f"hashing {path}", done, size)
    return Found(path, source, size, digest.hexdigest())
