"""CPU, memory and disk of the host, read from /proc."""

import os
import platform
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be right before the host may serve."""

    name: str
    ok: bool
    detail: str = ""


class Machine:
    """The host this runs on. `proc` is another folder in tests."""

    def __init__(self, disk: Path, proc: Path = Path("/proc")) -> None:
        self._disk, self._proc = disk, proc
        self._before = self._ticks()

    def facts(self) -> dict[str, Any]:
        """What rarely changes."""
        return {
            "hostname": socket.gethostname()[:120],
            "vcpus": os.cpu_count() or 1,
            "memory_mib": self._memory()["MemTotal"] // 1024,
            "disk_gib": shutil.disk_usage(self._disk).total // GIB,
            "kernel": platform.release()[:80],
        }

    def reading(self) -> dict[str, Any]:
        """What it does now; CPU as the share since the last reading."""
        memory = self._memory()
        used = memory["MemTotal"] - memory.get("MemAvailable", memory.get("MemFree", 0))
        return {
            "cpu_percent": round(self._busy(), 1),
            "memory_used_mib": used // 1024,
            "disk_used_gib": shutil.disk_usage(self._disk).used // GIB,
        }

    def checks(self) -> list[Check]:
        facts = self.facts()
        free = shutil.disk_usage(self._disk).free // GIB
        return [
            Check("system", platform.system() == "Linux", f"{platform.system()} {facts['kernel']}"),
            Check("memory", facts["memory_mib"] >= 512, f"{facts['memory_mib']} MiB"),
            Check("disk", free >= 1, f"{free} GiB free"),
        ]

    def _busy(self) -> float:
        idle, total = self._ticks()
        idle_before, total_before = self._before
        self._before = idle, total
        passed = total - total_before
        return 100 * (1 - (idle - idle_before) / passed) if passed > 0 else 0.0

    def _ticks(self) -> tuple[int, int]:
        """Idle and all ticks since boot; guests are counted in user time already."""
        first = (self._proc / "stat").read_text().splitlines()[0].split()[1:9]
        numbers = list(map(int, first))
        return numbers[3] + numbers[4], sum(numbers)

    def _memory(self) -> dict[str, int]:
        """The lines of meminfo, in KiB."""
        lines = (self._proc / "meminfo").read_text().splitlines()
        return {name: int(rest.split()[0]) for name, _colon, rest in (one.partition(":") for one in lines)}
