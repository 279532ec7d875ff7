"""`make fuzz` runs this in an environment that has atheris; only the parser itself is watched."""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["apps.gateway"]):
    from tests.gateway import parsing

if __name__ == "__main__":
    for number, seed in enumerate(parsing.SEEDS):
        (Path(sys.argv[1]) / f"seed-{number:02}").write_bytes(b"\x02\x00\x07\x00\x21" + seed)
    atheris.Setup(sys.argv, parsing.fuzz)
    atheris.Fuzz()
