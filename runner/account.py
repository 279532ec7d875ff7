"""The account PostgreSQL runs under when we are root: it refuses to run as root itself."""

import os
import pwd
import shutil
import subprocess
import time
from dataclasses import dataclass

from runner.console import Stopped

NAME = "hostedai"
FALLBACKS = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def _find(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid) if entry.pw_uid else None


def _create() -> Account | None:
    tool = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if not tool:
        return None
    command = [tool, "--system", "--no-create-home", "--user-group", "--shell", "/usr/sbin/nologin", NAME]
    for _ in range(10):  # another checkout may hold the lock on the password file
        subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        if found := _find(NAME):
            return found
        time.sleep(0.5)
    return None


def service_account() -> Account | None:
    """The account to drop to; None when we are an ordinary user already."""
    if os.geteuid() != 0:
        return None
    account = _find(NAME) or _create()
    for name in FALLBACKS:
        account = account or _find(name)
    if account is None:
        raise Stopped("PostgreSQL needs an account besides root: `useradd --system hostedai`.")
    return account
