"""The gateways beside which ours is measured: how each is fetched, told what to do, and started.

Each works in a folder of its own under `var/bench/gateway`, by a pinned version; none is installed into the
system and none is a dependency of ours. One that cannot be had is reported as missing.
"""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner import paths

FOLDER = paths.VAR / "bench" / "gateway"
PATIENCE = 900
MODEL = "mock-model"


class Missing(Exception):
    """This peer cannot be had here; the text says why."""


@dataclass
class Upstreams:
    """Ports of the engines: two that answer at once, one that streams at a pace."""

    quick: tuple[int, int]
    paced: int

    def of(self, pace: str) -> tuple[int, ...]:
        return self.quick if pace == "quick" else (self.paced,)


@dataclass
class Start:
    """How a gateway's process begins, and how it is asked."""

    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    path: str = "/v1/chat/completions"
    model: str = MODEL
    headers: tuple[str, ...] = ()


class Peer(ABC):
    """One gateway. `work` says what it does for its CPU time; `paces` on which kinds of engine it works."""

    paces: tuple[str, ...] = ("quick", "paced")
    name: str
    version: str
    work: str

    @abstractmethod
    def fetch(self) -> None:
        """Get it, unless it is here; raises `Missing`."""

    @abstractmethod
    def start(self, port: int, engines: Sequence[int], folder: Path) -> Start:
        """A process that listens on the port and passes requests to the engines."""


def run(*words: str, cwd: Path | None = None) -> None:
    """Run to the end; raises `Missing` with the last words when that fails."""
    try:
        ran = subprocess.run(
            words, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=PATIENCE,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(str(error)) from None
    if ran.returncode:
        raise Missing(((ran.stderr or ran.stdout).strip().splitlines() or ["it failed"])[-1])


class FromPyPI(Peer):
    """A distribution in a virtual environment of its own."""

    requires: tuple[str, ...]
    kept = ""  # the folder, when it is shared with another peer

    @property
    def home(self) -> Path:
        return FOLDER / (self.kept or f"{self.name}-{self.version}")

    def fetch(self) -> None:
        done = self.home / "done"
        if done.exists():
            return
        uv = str(paths.VENV / "bin" / "uv")
        run(uv, "venv", "-q", "--clear", str(self.home), "--python", str(paths.python()))
        run(uv, "pip", "install", "-q", "--python", str(self.home / "bin" / "python"), *self.requires)
        done.touch()

    def program(self, name: str) -> str:
        return str(self.home / "bin" / name)


class FromNpm(Peer):
    """A package in a folder of its own."""

    requires: tuple[str, ...]

    @property
    def home(self) -> Path:
        return paths.open_folder(FOLDER / f"{self.name}-{self.version}")

    def fetch(self) -> None:
        done = self.home / "done"
        if done.exists():
            return
        words = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error")
        run("npm", "install", *words, *self.requires, cwd=self.home)
        done.touch()


class FromDebian(Peer):
    """Debian packages, unpacked into a folder."""

    packages: tuple[str, ...]
    version = "Debian's"

    @property
    def home(self) -> Path:
        return paths.open_folder(FOLDER / self.name)

    def fetch(self) -> None:
        done = self.home / "done"
        if done.exists():
            return
        run("apt-get", "download", *self.packages, cwd=self.home)
        for package in self.home.glob("*.deb"):
            run("dpkg-deb", "-x", str(package), str(self.home / "root"))
        done.touch()

    @property
    def libraries(self) -> dict[str, str]:
        return {"LD_LIBRARY_PATH": f"{self.home}/root/usr/lib/x86_64-linux-gnu"}
