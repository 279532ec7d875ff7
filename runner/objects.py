"""Embedded object store: `rclone serve s3` over a folder."""

import os
import signal
from pathlib import Path

from runner import paths
from runner.console import Stopped
from runner.ports import answers, free_port
from runner.processes import Identity, end, identify, spawn, tail, wait_until


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
        store = paths.private_folder(self.folder / "data")
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_AUTH_KEY": f'"{self.key},{self.secret}"',
        }
        for _ in range(5):
            self.port = free_port(preferred_port)
            preferred_port = None
            command = [
                paths.VENV / "bin" / "rclone",
                "serve",
                "s3",
                "--addr",
                f"127.0.0.1:{self.port}",
                store,
            ]
            process = spawn(command, log=self.log, env=env, dies_by=self._dies_by)
            identity = identify(process.pid)
            if identity and wait_until(lambda: answers(self.port) or process.poll() is not None, seconds=30):
                if process.poll() is None:
                    return identity
            elif identity:
                end(identity)
        raise Stopped(f"The object store did not start:\n{tail(self.log)}")
