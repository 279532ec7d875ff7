"""Engines for tests: the demonstration model, and a leash that ends them with the test process."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "apps" / "registry" / "bundled" / "tiny-chat-q8_0.gguf"


def leash(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started from here on ends with this process, however that ends."""
    monkeypatch.setenv("HOSTEDAI_LEASH", str(os.getpid()))
