"""The processes that the product is made of: portal, gateway, worker …; what dies is started again."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner import paths
from runner.console import say
from runner.ports import free_port
from runner.processes import Identity, end, identify, is_alive, spawn, tail

WORKER_PROCESSES = "2"
QUEUES = "default,provision,billing,inference"
QUICK_DEATH = 10.0
LONGEST_PAUSE = 30.0


@dataclass
class Part:
    """A process of ours that must always run."""

    name: str
    command: list[str]
    env: Mapping[str, str]
    stop_by: signal.Signals = signal.SIGTERM
    identity: Identity | None = None
    started_at: float = 0.0
    not_before: float = 0.0
    pause: float = 1.0

    @property
    def log(self) -> Path:
        """Where its words go."""
        return paths.LOGS / f"{self.name}.log"

    def start(self) -> None:
        """Start it anew."""
        process = spawn(self.command, log=self.log, env=self.env, cwd=paths.ROOT, dies_by=signal.SIGTERM)
        self.identity, self.started_at = identify(process.pid), time.monotonic()

    def runs(self) -> bool:
        """Whether it is there."""
        return self.identity is not None and is_alive(self.identity)

    def look_after(self) -> None:
        """Start it again when it died, ever more slowly when it keeps dying."""
        now = time.monotonic()
        if self.runs():
            return
        if self.not_before == 0.0:
            self.pause = min(self.pause * 2, LONGEST_PAUSE) if now - self.started_at < QUICK_DEATH else 1.0
            self.not_before = now + self.pause
            say(f"{self.name} ended; starting it again in {self.pause:.0f} s (see {self.log})")
        elif now >= self.not_before:
            self.not_before = 0.0
            self.start()

    def stop(self) -> None:
        """End it."""
        if self.identity:
            end(self.identity, first=self.stop_by, patience=15)


@dataclass
class Errand(Part):
    """Something done once beside everything else; what its log says last is told when it ends."""

    is_told: bool = False

    def look_after(self) -> None:
        """Tell how it went."""
        if not self.is_told and not self.runs():
            self.is_told = True
            said = tail(self.log, lines=1).strip()
            say(said or f"{self.name} ended; see {self.log}")


def of_the_product(
    *, port: int, environment: Callable[[str], Mapping[str, str]], portals: int = 2, mark: str = ""
) -> list[Part]:
    """Everything that must run for an installation whose portal listens on `port`.

    `environment` gives what processes see for what row security lets their connections see: nothing by
    itself ("") or everything ("*"). `mark` goes before each name, for installations beside others.
    """
    python = str(paths.python())
    portal = [python, "-m", "gunicorn", "hostedai.asgi:application", "-k", "asgi", "-w", str(portals)]
    portal += ["-b", f"127.0.0.1:{port}", "--graceful-timeout", "5", "--no-control-socket"]
    portal += ["--keep-alive", "8"]  # longer than programs wait between two questions
    worker = [python, "-m", "celery", "-A", "celery_worker", "worker", "-c", WORKER_PROCESSES, "-l", "INFO"]
    worker += ["-Q", QUEUES, "--without-mingle", "--without-gossip"]
    commands = {
        "portal": (portal, ""),
        "worker": (worker, "*"),
        "poller": ([python, "manage.py", "poll"], "*"),
        "gateway": ([python, "manage.py", "gateway"], "*"),
    }
    # Callers reach the gateway through the portal too, so that its own port may be any.
    gateway = {"GATEWAY_PORT": str(free_port()), "GATEWAY_WORKERS": "1"}
    gateway = {name: os.environ.get(name, value) for name, value in gateway.items()}
    return [
        Part(mark + name, command, {**environment(scope), **gateway})
        for name, (command, scope) in commands.items()
    ]


def embedder(environment: Callable[[str], Mapping[str, str]]) -> Errand:
    """Brings a model for embeddings, which is too large for a checkout, and serves it."""
    return Errand("embedder", [str(paths.python()), "manage.py", "demo_embedder"], environment("*"))


def agent(*, url: str, folder: Path, mark: str = "") -> Part:
    """The node agent of this machine. `folder` holds its credential, or the token it gets one with."""
    command = [str(paths.python()), "-m", "hostedai_agent", "run", "--url", url, "--state", str(folder)]
    env = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(paths.ROOT / "agent")}
    return Part(f"{mark}agent", [*command, "--token-file", str(folder / "token")], env)
