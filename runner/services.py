"""The servers a checkout brings with it, started and ended together, and the record of where they are."""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner import libvirt, paths, postgres
from runner.account import service_account
from runner.console import say
from runner.objects import Objects
from runner.postgres import Postgres
from runner.processes import Identity, end, end_marked, identify, is_alive
from runner.valkey import Valkey

RECORD = "services.json"
SECRETS = "secrets.json"
MARK = "HOSTEDAI_SERVICES"  # the processes of a test run carry it in their environment
SECRET_NAMES = ("postgres_super", "postgres", "valkey", "s3_key", "s3_secret")


def base_folder() -> Path:
    """`var/` when the service account gets there, else the checkout's folder under /var/tmp."""
    account = service_account()
    folder = paths.open_folder(paths.VAR)
    if account and not paths.may_enter(folder, uid=account.uid, gid=account.gid):
        return paths.scratch()
    return folder


def record_file(profile: str) -> Path:
    """Where a profile's services are written down, wherever their data is."""
    return paths.VAR / profile / RECORD


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a file that only we may read, in one step."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(value, indent=2))
    fresh.replace(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One runner at a time over a state folder."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass
class Services:
    """PostgreSQL, Valkey and the object store of one profile."""

    folder: Path
    quick: bool = False
    dies_by_us: bool = False
    wanted: tuple[str, ...] = ("postgres", "valkey", "objects")
    environment: dict[str, str] = field(default_factory=dict)
    identities: dict[str, Identity] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def _secrets(self) -> dict[str, str]:
        file = self.folder / SECRETS
        known = _read_json(file) or {}
        missing = [name for name in SECRET_NAMES if name not in known]
        if missing:
            known |= {name: secrets.token_hex(16) for name in missing}
            write_json(file, known)
        return known

    def start(self) -> None:
        """Start what is wanted; what was started before a failure is ended again."""
        paths.open_folder(self.folder)
        keys = self._secrets()
        before = (_read_json(self.folder / RECORD) or {}).get("ports", {})
        try:
            for name in self.wanted:
                getattr(self, f"_start_{name}")(keys, before.get(name))
        except BaseException:
            self.stop()
            raise
        self._write_record(self.folder / RECORD)

    def revive(self) -> None:
        """Start a server again that died, where it was before."""
        for name, identity in list(self.identities.items()):
            if not is_alive(identity):
                say(f"{name} ended; starting it again")
                getattr(self, f"_start_{name}")(self._secrets(), self.ports[name])
                self._write_record(self.folder / RECORD)

    def _start_postgres(self, keys: dict[str, str], port: int | None) -> None:
        server = Postgres(
            self.folder / "postgres",
            passwords=(keys["postgres_super"], keys["postgres"]),
            quick=self.quick,
            dies_by_us=self.dies_by_us,
        )
        self.identities["postgres"] = server.start(port)
        self.ports["postgres"] = server.port
        self.environment |= {"DATABASE_URL": server.url(), "DATABASE_SUPER_URL": server.super_url()}
        say(f"PostgreSQL listens on 127.0.0.1:{server.port}")

    def _start_valkey(self, keys: dict[str, str], port: int | None) -> None:
        server = Valkey(self.folder / "valkey", password=keys["valkey"], dies_by_us=self.dies_by_us)
        self.identities["valkey"] = server.start(port)
        self.ports["valkey"] = server.port
        self.environment |= {"REDIS_URL": server.url()}
        say(f"Valkey listens on 127.0.0.1:{server.port}")

    def _start_objects(self, keys: dict[str, str], port: int | None) -> None:
        server = Objects(
            self.folder / "objects", key=keys["s3_key"], secret=keys["s3_secret"], dies_by_us=self.dies_by_us
        )
        self.identities["objects"] = server.start(port)
        self.ports["objects"] = server.port
        self.environment |= {
            "S3_ENDPOINT_URL": server.url(),
            "S3_ACCESS_KEY": server.key,
            "S3_SECRET_KEY": server.secret,
        }
        say(f"The object store listens on 127.0.0.1:{server.port}")

    def _write_record(self, file: Path) -> None:
        owner = identify(os.getpid())
        value = {
            "environment": self.environment,
            "ports": self.ports,
            "processes": {name: identity.as_json() for name, identity in self.identities.items()},
            "owner": owner.as_json() if owner else None,
            "folder": str(self.folder),
        }
        write_json(file, value)

    def stop(self) -> None:
        """End what was started, the database last."""
        stop_processes(self.identities)
        self.identities = {}


def stop_processes(identities: dict[str, Identity]) -> None:
    """End recorded servers; a process that is not the recorded one is never touched."""
    for name in ("objects", "valkey"):
        if name in identities:
            end(identities[name], patience=5)
    if "postgres" in identities:
        postgres.stop(identities["postgres"])


def recorded(file: Path) -> tuple[dict[str, Any], dict[str, Identity]] | None:
    """What a record says: its content and the processes in it; None when there is no readable record."""
    found = _read_json(file)
    if not found:
        return None
    return found, {name: Identity(**value) for name, value in found.get("processes", {}).items()}


def remove_leftovers(base: Path, prefix: str) -> None:
    """End and remove what runs of this checkout left behind whose runner is dead."""
    for folder in sorted(base.glob(f"{prefix}*")):
        known = recorded(folder / RECORD)
        if known is None:
            _remove_if_old(folder)
            continue
        content, identities = known
        owner = content.get("owner")
        if owner and is_alive(Identity(**owner)):
            continue
        say(f"Removing what an earlier run left in {folder}")
        end_marked(f"{MARK}={folder / RECORD}")
        stop_processes(identities)
        shutil.rmtree(folder, ignore_errors=True)


def mark_as_mine(folder: Path) -> None:
    """Write down who starts a run in this folder, so that it is removed when that process is dead."""
    mine = identify(os.getpid())
    if mine:
        (folder / "starter").write_text(f"{mine.pid} {mine.started}")


def _remove_if_old(folder: Path) -> None:
    """A folder without a record belongs to a run that is just starting, unless its starter is dead."""
    try:
        pid, started = (int(part) for part in (folder / "starter").read_text().split())
    except (OSError, ValueError):
        return
    if not is_alive(Identity(pid=pid, started=started)):
        libvirt.Hypervisor(folder).end_leftovers()
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftover_processes(folder: Path) -> None:
    """End what a killed run left of this state folder's servers."""
    known = recorded(folder / RECORD)
    if known:
        stop_processes(known[1])


def start_profile(profile: str) -> dict[str, str]:
    """Start a profile's long-lived services unless they run; returns the environment that reaches them."""
    file = record_file(profile)
    paths.open_folder(file.parent)
    with locked(file.parent):
        known = recorded(file)
        if known and known[1] and all(is_alive(identity) for identity in known[1].values()):
            say(f"The services of `{profile}` run already")
            return dict(known[0]["environment"])
        if known:
            stop_processes(known[1])
        services = Services(base_folder() / profile, quick=True)
        services.start()
        if services.folder != file.parent:
            shutil.copy(services.folder / RECORD, file)
            file.chmod(0o600)
        return services.environment


def stop_profile(profile: str) -> None:
    """Stop a profile's long-lived services."""
    known = recorded(record_file(profile))
    if known is None:
        say(f"No services of `{profile}` are known here")
        return
    stop_processes(known[1])
    say(f"The services of `{profile}` are stopped")
