"""A whole installation of its own for a benchmark: servers, portal, workers, poller, and its report."""

import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.parts import QUEUES
from runner.ports import free_port
from runner.processes import Identity, end, identify, spawn, wait_until
from runner.services import Services

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Report:
    """Figures, with what they were measured on."""

    name: str
    figures: dict[str, Any] = field(default_factory=dict)
    goals: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        lines = [
            f"{key:34} {value}   {self.goals.get(key, '')}".rstrip() for key, value in self.figures.items()
        ]
        return "\n".join([self.name, *lines])

    def write(self) -> Path:
        about = {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "kernel": platform.release()},
            "python": platform.python_version(),
        }
        file = ROOT / "evidence" / f"{self.name}.json"
        file.parent.mkdir(exist_ok=True)
        told = {"name": self.name, "figures": self.figures, "goals": self.goals, **about}
        file.write_text(json.dumps(told, indent=2) + "\n")
        return file


@dataclass
class Installation:
    """A running portal with its workers."""

    port: int
    folder: Path
    processes: dict[str, Identity] = field(default_factory=dict)

    servers: dict[str, Identity] = field(default_factory=dict)

    def cpu_seconds(self) -> dict[str, float]:
        """What each part has used of the processors so far, its children included."""
        parts = {**self.processes, **self.servers}
        return {name: _cpu_of(identity.pid) for name, identity in parts.items()}

    def client(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def is_ready(self) -> bool:
        try:
            connection = self.client()
            connection.request("GET", "/readiness")
            return connection.getresponse().status == 200
        except OSError:
            return False


@contextmanager
def installation(
    *, portals: int = 2, workers: int = 2, wanted: tuple[str, ...] = ("postgres", "valkey")
) -> Iterator[Installation]:
    """Servers and processes of their own, ended with the block. Django is set up in this process too."""
    with tempfile.TemporaryDirectory(prefix="hostedai-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        services = Services(folder / "services", quick=True, dies_by_us=True, wanted=wanted)
        services.start()
        made = Installation(free_port(), folder, servers=dict(services.identities))
        try:
            _set_up(services.environment, folder)
            env = dict(os.environ)
            _start(made, env, portals, workers)
            yield made
        finally:
            for process in reversed(made.processes.values()):
                end(process)
            services.stop()


def _set_up(services: dict[str, str], folder: Path) -> None:
    os.environ.update(services)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "hostedai.settings.test",
        "DB_SCOPE": "*",
        "HOSTEDAI_VAR": str(folder / "files"),
        "LOG_LEVEL": "WARNING",
        "PYTHONPATH": str(ROOT),
        "HOSTEDAI_LEASH": str(os.getpid()),  # engines end with us
    }
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)


def _start(made: Installation, env: dict[str, str], portals: int, workers: int) -> None:
    python = sys.executable
    portal = [python, "-m", "gunicorn", "hostedai.asgi:application", "-k", "asgi", "-w", str(portals)]
    portal += ["-b", f"127.0.0.1:{made.port}", "--no-control-socket", "--log-level", "warning"]
    worker = [python, "-m", "celery", "-A", "celery_worker", "worker", "-c", str(workers), "-l", "WARNING"]
    worker += ["-Q", QUEUES, "--without-mingle", "--without-gossip"]
    poller = [python, "manage.py", "poll"]
    commands = (("portal", portal, {"DB_SCOPE": ""}), ("worker", worker, {}), ("poller", poller, {}))
    for name, command, own in commands:
        log = made.folder / f"{name}.log"
        process: subprocess.Popen[bytes] = spawn(command, log=log, env={**env, **own}, cwd=ROOT)
        found = identify(process.pid)
        assert found is not None, log.read_text()
        made.processes[name] = found
    if not wait_until(made.is_ready, seconds=120, every=0.2):
        raise RuntimeError((made.folder / "portal.log").read_text()[-2000:])


def _cpu_of(root: int) -> float:
    """Seconds of processor time of a process and all below it, those that have ended included."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.name)] = int(fields[1])
        used[int(entry.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return sum(seconds for pid, seconds in used.items() if _is_below(pid, root, parents))


def _is_below(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid and pid != root:
        pid = parents.get(pid, 0)
    return pid == root


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def milliseconds(values: list[float], share: float) -> float:
    return round(percentile(values, share) * 1000, 1)


def now() -> float:
    return time.time()
