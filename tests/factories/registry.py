"""Models, small but real weights, a bucket of one's own, and a hub that speaks like the real one."""

import hashlib
import json
import os
import re
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import prod
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from apps.core.actor import SYSTEM, Actor
from apps.registry import reconcilers, services
from apps.registry.models import Model, ModelVersion
from apps.registry.specs import FileSpec, ModelSpec
from apps.teams.models import Team

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "max_position_embeddings": 2048,
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "torch_dtype": "float16",
}


def gguf(*, padding: int = 0, architecture: str = "llama") -> bytes:
    """A GGUF file with one tensor of 64 × (4 + padding) halves and what a small Llama says of itself."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def entry(key: str, value: int | str) -> bytes:
        if isinstance(value, str):
            return text(key) + struct.pack("<I", 8) + text(value)
        return text(key) + struct.pack("<II", 4, value)

    words = b"".join(text(f"w{n}") for n in range(7))
    entries = [
        entry("general.architecture", architecture),
        entry(f"{architecture}.context_length", 2048),
        entry(f"{architecture}.block_count", 2),
        entry(f"{architecture}.embedding_length", 64),
        entry(f"{architecture}.attention.head_count", 4),
        entry(f"{architecture}.attention.head_count_kv", 2),
        entry("general.file_type", 1),
        text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 7) + words,
    ]
    rows = 4 + padding
    tensor = text("blk.0.weight") + struct.pack("<IQQIQ", 2, 64, rows, 1, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(entries)) + b"".join(entries) + tensor
    head += b"\0" * (-len(head) % 32)
    return head + os.urandom(64 * rows * 2)


def safetensors(tensors: Mapping[str, tuple[int, ...]], dtype: str = "F16") -> bytes:
    """A safetensors file of random halves."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in tensors.items():
        length = 2 * prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + length]}
        at += length
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + os.urandom(at)


def folder() -> dict[str, bytes]:
    """A model as repositories hold them."""
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": safetensors({"embed": (256, 64), "out": (64, 256)}),
        "tokenizer_config.json": json.dumps({"chat_template": "{{ messages }}"}).encode(),
    }


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def specs_of(files: Mapping[str, bytes]) -> list[FileSpec]:
    return [FileSpec(path, len(body), sha256(body)) for path, body in files.items()]


def make_model(team: Team | None, *, actor: Actor = SYSTEM, slug: str = "small", **fields: Any) -> Model:
    """A model without versions."""
    spec = ModelSpec(name=slug.title(), slug=slug, **{"licence": "apache-2.0", **fields})
    return services.create_model(actor=actor, team=team, spec=spec)


def send(version: ModelVersion, files: Mapping[str, bytes], *, actor: Actor = SYSTEM) -> None:
    """Be the client: every part straight to the store, then complete each file."""
    for file in version.files.all():
        numbers = range(1, file.parts + 1)
        for part in services.sign_parts(actor=actor, version_id=version.pk, file_id=file.pk, numbers=numbers):
            begin = (part.number - 1) * file.part_size
            body = files[file.path][begin : begin + part.length]
            httpx.put(part.url, content=body, timeout=60).raise_for_status()
        services.complete_file(actor=actor, version_id=version.pk, file_id=file.pk)


def make_version(
    model: Model, files: Mapping[str, bytes] | None = None, *, actor: Actor = SYSTEM
) -> ModelVersion:
    """A servable version, uploaded to the store and verified."""
    files = files or {"small.gguf": gguf()}
    version = services.start_upload(actor=actor, model=model, files=specs_of(files))
    send(version, files, actor=actor)
    services.complete_upload(actor=actor, version_id=version.pk)
    return work_off(version)


def work_off(version: ModelVersion) -> ModelVersion:
    """Be the worker until the version rests."""
    for _pass in range(6):
        ModelVersion.objects.filter(pk=version.pk).update(lease_until=None)
        if not reconcilers.reconcile_version(version_id=version.pk):
            break
    version.refresh_from_db()
    return version


@dataclass
class FakeHub:
    """What the hub holds, and what it was asked. Answers as huggingface.co does, redirect included."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    commit: str = "a" * 40
    token: str = ""
    break_at: tuple[str, int] | None = None  # the file and the offset at which a read breaks off, once
    lie: bool = False  # names other hashes than those of the files
    redirect: str = ""
    reads: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


@contextmanager
def hub() -> Iterator[FakeHub]:
    """A hub on a port of its own, gone when the block ends."""
    state = FakeHub()

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: Any) -> None:
            """Be quiet."""

        def do_GET(self) -> None:
            _answer(self, state)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(request: BaseHTTPRequestHandler, state: FakeHub) -> None:
    path = unquote(urlsplit(request.path).path)
    if state.token and request.headers.get("Authorization") != f"Bearer {state.token}":
        return _reply(request, 401, b"{}", {"X-Error-Code": "GatedRepo"})
    if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/.+)?", path):
        return _list(request, state, found[1])
    if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
        return _read(request, state, found)
    return _reply(request, 404, b"{}")


def _list(request: BaseHTTPRequestHandler, state: FakeHub, repository: str) -> None:
    files = state.files.get(repository)
    if files is None:
        return _reply(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
    siblings = []
    for path, body in files.items():
        one: dict[str, Any] = {"rfilename": path, "size": len(body), "blobId": "b" * 40}
        if path.endswith((".safetensors", ".gguf")):
            one["lfs"] = {
                "sha256": sha256(b"other" if state.lie else body),
                "size": len(body),
                "pointerSize": 134,
            }
        siblings.append(one)
    about = {"id": repository, "modelId": repository, "sha": state.commit, "siblings": siblings}
    about |= {"private": False, "tags": [], "downloads": 0, "likes": 0, "cardData": {"license": "mit"}}
    return _reply(request, 200, json.dumps(about).encode())


def _read(request: BaseHTTPRequestHandler, state: FakeHub, found: re.Match[str]) -> None:
    body = state.files.get(found[1], {}).get(found[3])
    wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
    if body is None or wanted is None or found[2] != state.commit:
        return _reply(request, 404, b"{}")
    if state.redirect:
        return _reply(request, 302, b"", {"Location": state.redirect})
    state.reads.append((found[3], wanted[0]))
    piece = body[int(wanted[1]) : int(wanted[2]) + 1]
    if state.break_at == (found[3], int(wanted[1])):
        state.break_at = None
        _reply(request, 206, piece[: len(piece) // 2], {"Content-Length": str(len(piece))})
        request.close_connection = True
        return None
    return _reply(request, 206, piece, {"ETag": '"x"', "X-Repo-Commit": state.commit})


def _reply(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)
