"""Embedded object store: `rclone serve s3` over a folder."""

import os
import signal
import subprocess
from pathlib import Path

from runner import listeners, paths
from runner.processes import Identity, spawn


class Objects:
    """One S3 endpoint; each bucket is a folder."""

    def __init__(self, folder: Path, *, key: str, secret: str, dies_by_us: bool) -> None:
        self.folder = folder
        self.log = folder / "rclone.log"
        self.port = 0
        self.key = key
        self.secret = secret
        self._dies_by = signal.SIGTERM if dies_by_us else None

    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, preferred_port: int | None = None) -> Identity:
        """Start, on another port when the first one was snatched away."""
        paths.private_folder(self.folder)
        identity, self.port = listeners.start(self._launch, log=self.log, preferred=preferred_port)
        return identity

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        store = paths.private_folder(self.folder / "data")
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_AUTH_KEY": f'"{self.key},{self.secret}"',
        }
        command: list[str | Path] = [
            paths.VENV / "bin" / "rclone",
            "serve",
            "s3",
            "--addr",
            f"127.0.0.1:{port}",
            store,
        ]
        return spawn(command, log=self.log, env=env, dies_by=self._dies_by)
