"""`make fuzz`: coverage-guided fuzzing of the gateway's parser, in an environment of its own."""

import os
import subprocess

from runner import bootstrap, paths
from runner.console import Stopped, say

REQUIRES = ("atheris==3.0.0", "httptools==0.9.0")
SECONDS = "600"


def run(_: list[str]) -> int:
    """Fuzz for FUZZ_SECONDS; what breaks the parser stays in var/fuzz, named crash-…"""
    bootstrap.python_packages(development=True)
    folder = paths.open_folder(paths.VAR / "fuzz")
    python = folder / "venv" / "bin" / "python"
    uv = str(paths.VENV / "bin" / "uv")
    if not python.exists():
        say("Fetching atheris")
        for words in (
            ["venv", "-q", "--clear", str(folder / "venv"), "--python", str(paths.python())],
            ["pip", "install", "-q", "--python", str(python), *REQUIRES],
        ):
            if subprocess.run([uv, *words], check=False, stdin=subprocess.DEVNULL).returncode:
                raise Stopped("atheris cannot be had here.")
    corpus = paths.open_folder(folder / "corpus")
    command = [str(python), "-m", "tests.gateway.fuzzer", str(corpus), "-max_len=4096"]
    command += [f"-max_total_time={os.environ.get('FUZZ_SECONDS', SECONDS)}", f"-artifact_prefix={folder}/"]
    env = {**os.environ, "PYTHONPATH": str(paths.ROOT)}
    return subprocess.run(command, cwd=paths.ROOT, env=env, stdin=subprocess.DEVNULL, check=False).returncode
