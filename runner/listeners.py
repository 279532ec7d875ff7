"""Starts a server that listens on a port, on another port when the first one was snatched away."""

import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from runner.console import Stopped
from runner.ports import answers, free_port
from runner.processes import Identity, end, identify, tail, wait_until

TRIES = 5


def start(
    launch: Callable[[int], subprocess.Popen[bytes]],
    *,
    log: Path,
    preferred: int | None = None,
    ready: Callable[[int], bool] = answers,
    seconds: float = 60,
) -> tuple[Identity, int]:
    """Launch until one stays up and is ready; returns it and its port."""
    for _ in range(TRIES):
        port = free_port(preferred)
        preferred = None
        process = launch(port)
        identity = identify(process.pid)
        if identity is None:
            continue
        settled = wait_until(partial(_is_settled, process, partial(ready, port)), seconds=seconds)
        if settled and process.poll() is None:
            return identity, port
        end(identity, first=signal.SIGQUIT)
    raise Stopped(f"A server did not start; the end of {log}:\n{tail(log)}")


def _is_settled(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> bool:
    return process.poll() is not None or ready()
