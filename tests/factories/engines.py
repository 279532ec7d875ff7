"""Engines for tests: the demonstration model. What is started ends with the test process (`tests/plugin.py`)."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "apps" / "registry" / "bundled" / "tiny-chat-q8_0.gguf"
