"""Processes that the runner started: how they are known again, watched and ended."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from runner.account import Account

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_started: list[subprocess.Popen[bytes]] = []  # kept, so that none is taken for forgotten


@dataclass(frozen=True)
class Identity:
    """A process, safe against its number being given to another: number and start time in clock ticks."""

    pid: int
    started: int

    def as_json(self) -> dict[str, int]:
        """The form kept in state files."""
        return asdict(self)


def identify(pid: int) -> Identity | None:
    """The process of that number, unless there is none or only its remains are left."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    if fields[0] in {"Z", "X"}:
        return None
    return Identity(pid=pid, started=int(fields[19]))


def is_alive(identity: Identity) -> bool:
    """Whether this very process still runs."""
    return identify(identity.pid) == identity


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def wait_until(condition: Callable[[], bool], *, seconds: float, every: float = 0.05) -> bool:
    """Ask again and again; False when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def wait_gone(identity: Identity, *, seconds: float) -> bool:
    """Wait for a process to end; True when it did."""

    def gone() -> bool:
        _reap(identity.pid)
        return not is_alive(identity)

    return wait_until(gone, seconds=seconds)


def end(
    identity: Identity,
    *,
    first: signal.Signals = signal.SIGTERM,
    patience: float = 10,
    whole_group: bool = False,
) -> None:
    """Ask a process that we started to end, then insist. A stranger with the same number is left alone."""
    for sign, seconds in ((first, patience), (signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0)):
        if not is_alive(identity):
            return
        try:
            if whole_group and os.getpgid(identity.pid) == identity.pid:
                os.killpg(identity.pid, sign)
            else:
                os.kill(identity.pid, sign)
        except ProcessLookupError:
            return
        if wait_gone(identity, seconds=seconds):
            return


def die_with_parent(sign: signal.Signals) -> Callable[[], None]:
    """What a child calls before it begins, so that the kernel ends it when the runner dies."""
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(sign), 0, 0, 0)

    return ask


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
    cwd: Path | None = None,
    dies_by: signal.Signals | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, writing to a log; `dies_by` ends it when the runner dies."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            umask=0o077 if account else -1,
            preexec_fn=die_with_parent(dies_by) if dies_by else None,
        )
    _started.append(process)
    return process


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, for a message that says why something did not start."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


def adopt_orphans() -> None:
    """Become the parent of whatever our children leave behind, so that it can be ended with them."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> None:
    """Bury adopted children that ended."""
    for _ in range(1000):
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                return
        except ChildProcessError:
            return


def _children() -> list[Identity]:
    """Processes whose parent we are, adopted ones included."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            identity = identify(int(entry.name)) if int(fields[1]) == os.getpid() else None
            found += [identity] if identity else []
    return found


def end_children(spared: set[int]) -> None:
    """End every child but the spared ones, and what they in turn leave behind."""
    for _ in range(20):
        left = [identity for identity in _children() if identity.pid not in spared]
        if not left:
            return
        for identity in left:
            end(identity, patience=3)


def end_marked(mark: str) -> None:
    """End processes whose environment holds the mark: what a killed run of ours started."""
    wanted = mark.encode()
    for entry in Path("/proc").iterdir():
        identity = identify(int(entry.name)) if entry.name.isdigit() else None
        if identity is None or identity.pid == os.getpid():
            continue
        try:
            surroundings = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted in surroundings:
            end(identity, patience=5)
