"""The whole product for the browser tests: portal, worker and poller on a database of their own."""

import email
import http.client
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import policy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from runner import libvirt, parts, paths
from runner.parts import Part
from runner.ports import free_port
from runner.processes import tail, wait_until
from tests import database

READY_SECONDS = 300
MAIL_SECONDS = 60
REDIS_DATABASE = 15


@dataclass
class Stack:
    """A running installation with demonstration data. `var` holds its mail, recordings and simulator."""

    var: Path
    services: dict[str, str]
    database_url: str
    host: libvirt.Hypervisor | None = None
    port: int = field(default_factory=free_port)
    parts: list[Part] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, scope: str) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
        env |= {name: value for name, value in self.services.items() if name != "DATABASE_SUPER_URL"}
        env |= libvirt.environment(self.host) if self.host else {}
        return env | {
            "DJANGO_SETTINGS_MODULE": "hostedai.settings.dev",
            "SECRET_KEY": "browser-tests-protect-nothing-with-this",
            "DATABASE_URL": self.database_url,
            "REDIS_URL": f"{self.services['REDIS_URL'].rpartition('/')[0]}/{REDIS_DATABASE}",
            "PUBLIC_URL": self.address,
            "HOSTEDAI_VAR": str(self.var),
            "INSTALLATION_ID": f"e2e-{os.getpid()}",
            "DB_SCOPE": scope,
            "PYTHONUNBUFFERED": "1",
        }

    def manage(self, *words: str) -> str:
        """Run one management command to its end and return what it printed."""
        ran = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=paths.ROOT,
            env=self.environment("*"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"manage.py {words[0]}:\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
        return ran.stdout

    def start(self) -> None:
        self.manage("collectstatic", "--noinput", "-v", "0")
        self.manage("demo", "--days", "10")
        self.parts = parts.of_the_product(
            port=self.port, environment=self.environment, portals=1, mark=f"e2e-{os.getpid()}-"
        )
        paths.open_folder(paths.LOGS)
        for part in self.parts:
            part.start()
        if not wait_until(self.is_ready, seconds=READY_SECONDS, every=0.2):
            raise AssertionError(self.words())

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readiness")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (http.client.HTTPException, OSError):
            return False
        finally:
            connection.close()

    def words(self) -> str:
        """The last words of every process, for a failure's report."""
        return "\n".join(f"--- {part.name}\n{tail(part.log, 30)}" for part in self.parts if part.log.exists())

    def stop(self) -> None:
        for part in reversed(self.parts):
            part.stop_by = signal.SIGTERM
            part.stop()
            part.log.unlink(missing_ok=True)

    def link_for(self, address: str, pattern: str) -> str:
        """The path of the link in a mail that was sent to an address."""
        found: list[str] = []

        def arrived() -> bool:
            found[:] = list(self._links(address, pattern))
            return bool(found)

        assert wait_until(arrived, seconds=MAIL_SECONDS, every=0.2), f"no mail to {address}"
        return urlsplit(found[-1]).path

    def _links(self, address: str, pattern: str) -> Iterator[str]:
        for file in sorted((self.var / "mail").glob("*"), key=lambda one: one.stat().st_mtime):
            message = email.message_from_bytes(file.read_bytes(), policy=policy.default)
            body = message.get_body(("plain",))
            if address in str(message["To"]) and body is not None:
                yield from re.findall(rf"https?://\S*{pattern}\S*", body.get_content())


@contextmanager
def own_database(super_url: str) -> Iterator[str]:
    """A copy of the migrated template that no test touches; its URL for the product's own role."""
    name = f"test_e2e_{os.getpid()}_{secrets.token_hex(3)}"
    with psycopg.connect(super_url, autocommit=True) as server:
        server.execute("SELECT pg_advisory_lock(%s)", [database.LOCK])
        database._create(server, name, f"template_{database.fingerprint()}")
    try:
        yield name
    finally:
        with psycopg.connect(super_url, autocommit=True) as server:
            database._drop(server, name)


@contextmanager
def running(
    services: dict[str, str], host: libvirt.Hypervisor | None, image: Any, folder: Path
) -> Iterator[Stack]:
    """The product, from start to stop."""
    var = paths.open_folder(folder / "var")
    if image is not None:
        kept = paths.open_folder(var / "images")
        source = Path(image["path"])
        for file in (source, source.with_suffix(".json")):
            shutil.copy2(file, kept / file.name)
    with own_database(services["DATABASE_SUPER_URL"]) as name:
        parts = urlsplit(services["DATABASE_URL"])
        stack = Stack(var, services, urlunsplit(parts._replace(path=f"/{name}")), host)
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()
