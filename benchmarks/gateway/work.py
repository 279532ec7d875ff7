"""Processes of the measurement: built, pinned to a core, their cost read from the kernel's accounts."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gateway.peers import FOLDER, Missing, run
from runner import paths
from runner.ports import free_port

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
GATEWAY_CORE, LOAD_CORE = "0", "1"
# Nothing of our own installation: LiteLLM, for one, would take DATABASE_URL for its own and never start.
_PLAIN = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


def build(name: str) -> Path:
    """The C program of that name, compiled when its source is newer."""
    source, program = HERE / f"{name}.c", paths.open_folder(FOLDER) / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        run("gcc", "-O2", "-Wall", "-o", str(program), str(source))
    return program


@dataclass
class Processes:
    """Everything that was started; ended together, groups and all."""

    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, name: str, command: list[str], *, core: str, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["taskset", "-c", core, *command], cwd=self.folder,
                env={**_PLAIN, "NO_PROXY": "*", **(env or {})}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.started:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            for process in self.started:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)


@dataclass
class Engine:
    """A pretended engine."""

    port: int

    @classmethod
    def start(cls, processes: Processes, *words: str) -> "Engine":
        port = free_port()
        processes.start(f"engine-{port}", [str(build("engine")), "-p", str(port), *words], core=LOAD_CORE)
        return cls(port)


def load(port: int, *words: str) -> dict[str, Any]:
    """What one run of the load generator saw."""
    command = ["taskset", "-c", LOAD_CORE, str(build("load")), "-p", str(port), *words]
    ran = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120
    )
    if ran.returncode:
        raise Missing(f"the load generator ended with {ran.returncode}: {ran.stderr[-200:]}")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def family(root: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, left = [], [root]
    while left:
        one = left.pop()
        found.append(one)
        left += children.get(one, [])
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of a process and all below it."""
    total = 0
    for pid in family(root):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def below(root: int, word: str) -> list[int]:
    """The processes below one that have the word in their command."""
    found = []
    for pid in family(root):
        with contextlib.suppress(OSError):
            if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


class Memory:
    """The most memory that processes and all below them have had during the block, in MB by name."""

    def __init__(self, roots: dict[str, int]):
        self.most = dict.fromkeys(roots, 0.0)
        self._roots = roots
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            for name, root in self._roots.items():
                self.most[name] = max(self.most[name], memory_mb(root))

    def __enter__(self) -> "Memory":
        if self._roots:
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        if self._roots:
            self._thread.join()


def memory_mb(root: int) -> float:
    """Their share of the machine's memory."""
    total = 0
    for pid in family(root):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return round(total / 1024, 1)
