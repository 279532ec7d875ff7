"""Engines for tests: the demonstration model. `tests/plugin.py` ends what is started with the process."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "apps" / "registry" / "bundled" / "tiny-chat-q8_0.gguf"
