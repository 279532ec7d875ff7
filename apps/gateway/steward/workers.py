"""A worker as its steward sees it: a process, a line to it, a folder of flights."""

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import msgspec

from apps.gateway import messages
from apps.gateway.messages import AnyMessage
from apps.gateway.plane.link import Link
from apps.gateway.plane.worker import Orders
from apps.gateway.steward.bank import Account
from apps.gateway.steward.settling import LOCK, Folder


@dataclass(frozen=True)
class Terms:
    """What all workers of a steward have in common."""

    root: Path
    host: str
    port: int
    redis_url: str
    region: str
    peer_token: str
    trusted_proxies: int
    stop_seconds: float
    head_seconds: float


class Child:
    """One worker."""

    def __init__(self, process: "subprocess.Popen[bytes]", link: Link, account: Account):
        self.process, self.link, self.account = process, link, account
        self.stats: messages.Stats | None = None
        self.known: dict[bytes, messages.KeyRow] = {}

    @property
    def name(self) -> str:
        return self.account.name

    def runs(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        if self.runs():
            self.process.send_signal(signal.SIGTERM)


async def start(terms: Terms, taken: Callable[[Child, AnyMessage], None]) -> Child:
    """A new worker with a folder of its own, locked for as long as it lives."""
    name = f"{socket.gethostname()[:30]}-{token_hex(4)}"
    folder, unlocked = terms.root / name, terms.root / f".{name}"
    unlocked.mkdir(mode=0o700)
    ours, theirs = socket.socketpair()
    lock = os.open(unlocked / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unlocked.rename(folder)  # nobody takes it for what a dead worker has left
        orders = Orders(
            name=name,
            host=terms.host,
            port=terms.port,
            folder=str(folder),
            redis_url=terms.redis_url,
            region=terms.region,
            peer_token=terms.peer_token,
            trusted_proxies=terms.trusted_proxies,
            file=theirs.fileno(),
            stop_seconds=terms.stop_seconds,
            head_seconds=terms.head_seconds,
        )
        process = _spawn(orders, theirs.fileno(), lock)
    finally:
        os.close(lock)
        theirs.close()
    link = Link()
    child = Child(process, link, Account(name, Folder(folder)))
    link.taken = lambda message: taken(child, message)
    await link.open(ours.detach())
    return child


def _spawn(orders: Orders, *files: int) -> "subprocess.Popen[bytes]":
    """Its orders hold a password, so they go neither into arguments nor into the environment."""
    environment: dict[str, Any] = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONUTF8": "1",
        "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
    }
    process = subprocess.Popen(
        [sys.executable, "-O", "-m", "apps.gateway.plane"],
        stdin=subprocess.PIPE,
        env=environment,
        pass_fds=files,
        cwd=environment["PYTHONPATH"],
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(orders))
    process.stdin.close()
    return process


async def ended(children: list[Child], *, seconds: float) -> None:
    """Wait until all have ended, and insist when they do not."""
    deadline = asyncio.get_running_loop().time() + seconds
    while any(child.runs() for child in children) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.05)
    for child in children:
        if child.runs():
            child.process.kill()
            child.process.wait()
