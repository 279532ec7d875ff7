"""`make run`: the whole product on one machine; what dies is started again, Ctrl-C ends it all."""

import fcntl
import hashlib
import http
import http.client
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner import bootstrap, libvirt, packages, paths
from runner.console import Stopped, say, show
from runner.interrupts import Interrupted, interruptible
from runner.ports import free_port, is_free
from runner.processes import (
    Identity,
    adopt_orphans,
    end,
    end_children,
    identify,
    is_alive,
    reap,
    spawn,
    tail,
    wait_until,
)
from runner.services import Services, base_folder, remove_leftover_processes

PORT = 8000
PORTAL_PROCESSES = "2"
WORKER_PROCESSES = "2"
READY_SECONDS = 120
LOOK_EVERY = 0.5
QUICK_DEATH = 10.0
LONGEST_PAUSE = 30.0
GIVEN = {"postgres": "DATABASE_URL", "valkey": "REDIS_URL", "objects": "S3_ENDPOINT_URL"}


@dataclass
class Part:
    """A process of ours that must always run."""

    name: str
    command: list[str]
    env: Mapping[str, str]
    stop_by: signal.Signals = signal.SIGTERM
    identity: Identity | None = None
    started_at: float = 0.0
    not_before: float = 0.0
    pause: float = 1.0

    @property
    def log(self) -> Path:
        """Where its words go."""
        return paths.LOGS / f"{self.name}.log"

    def start(self) -> None:
        """Start it anew."""
        process = spawn(self.command, log=self.log, env=self.env, cwd=paths.ROOT, dies_by=signal.SIGTERM)
        self.identity, self.started_at = identify(process.pid), time.monotonic()

    def runs(self) -> bool:
        """Whether it is there."""
        return self.identity is not None and is_alive(self.identity)

    def look_after(self) -> None:
        """Start it again when it died, ever more slowly when it keeps dying."""
        now = time.monotonic()
        if self.runs():
            return
        if self.not_before == 0.0:
            self.pause = min(self.pause * 2, LONGEST_PAUSE) if now - self.started_at < QUICK_DEATH else 1.0
            self.not_before = now + self.pause
            say(f"{self.name} ended; starting it again in {self.pause:.0f} s (see {self.log})")
        elif now >= self.not_before:
            self.not_before = 0.0
            self.start()

    def stop(self) -> None:
        """End it."""
        if self.identity:
            end(self.identity, first=self.stop_by, patience=15)


@dataclass
class Product:
    """Everything that `make run` starts."""

    folder: Path
    port: int
    services: Services
    host: libvirt.Hypervisor | None = None
    parts: list[Part] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where the portal is."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self, scope: str) -> dict[str, str]:
        """What our processes see; `scope` is what row security lets their connections see."""
        env = bootstrap.environment() | self.services.environment
        env.pop("DATABASE_SUPER_URL", None)
        env |= libvirt.environment(self.host) if self.host else {}
        return env | {
            "DJANGO_SETTINGS_MODULE": env.get("DJANGO_SETTINGS_MODULE", "hostedai.settings.dev"),
            "SECRET_KEY": env.get("SECRET_KEY") or _secret_key(self.folder),
            "PUBLIC_URL": env.get("PUBLIC_URL") or self.address,
            "HOSTEDAI_VAR": str(paths.VAR),
            "DB_SCOPE": scope,
            "PATH": f"{paths.VENV / 'bin'}:{env.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
        }

    def manage(self, *words: str, log: str = "setup") -> None:
        """Run one management command to its end."""
        file, errors = (paths.open_folder(paths.LOGS) / f"{name}.log" for name in (log, "setup"))
        command = [str(paths.python()), "manage.py", *words]
        with file.open("ab") as out, errors.open("ab") as err:
            ran = subprocess.run(
                command, cwd=paths.ROOT, env=self.environment("*"), check=False,
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip
        if ran.returncode:
            raise Stopped(f"`manage.py {' '.join(words)}` failed:\n{tail(errors)}")

    def assemble(self) -> None:
        """Say which processes there are."""
        python = str(paths.python())
        gunicorn = [
            python,
            "-m",
            "gunicorn",
            "hostedai.asgi:application",
            "-k",
            "asgi",
            "-w",
            PORTAL_PROCESSES,
        ]
        gunicorn += ["-b", f"127.0.0.1:{self.port}", "--graceful-timeout", "5", "--no-control-socket"]
        worker = [
            python,
            "-m",
            "celery",
            "-A",
            "celery_worker",
            "worker",
            "-c",
            WORKER_PROCESSES,
            "-l",
            "INFO",
        ]
        worker += ["-Q", "default,provision,billing,inference", "--without-mingle", "--without-gossip"]
        self.parts = [
            Part("portal", gunicorn, self.environment("")),
            Part("worker", worker, self.environment("*")),
            Part("poller", [python, "manage.py", "poll"], self.environment("*")),
        ]

    def is_ready(self) -> bool:
        """Whether the portal and what it needs answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readiness")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (http.client.HTTPException, OSError):
            return False
        finally:
            connection.close()

    def look_after(self) -> None:
        """One round of watching."""
        for part in self.parts:
            part.look_after()
        self.services.revive()
        reap()

    def stop(self) -> None:
        """End everything, in the reverse order of its start."""
        for part in self.parts:
            if part.identity and is_alive(part.identity):
                os.kill(part.identity.pid, part.stop_by)
        for part in reversed(self.parts):
            part.stop()
        if self.host:
            self.host.stop()
        self.services.stop()
        end_children(set())


def _secret_key(folder: Path) -> str:
    file = folder / "secret_key"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(48))
    return file.read_text()


def _start_libvirt(folder: Path) -> libvirt.Hypervisor | None:
    host = libvirt.Hypervisor(folder)
    try:
        if reason := libvirt.why_not():
            raise Stopped(reason)
        host.start(dies_by_us=True, lock_seconds=10)
    except Stopped as stopped:
        say(f"No region with real machines. {stopped}")
        return None
    say("libvirt answers; its machines live in a network of their own")
    return host


def _lock(folder: Path) -> int:
    """Only one `make run` per checkout."""
    handle = os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Stopped("This checkout runs already.") from error
    return handle


def _portal_port() -> int:
    wanted = int(os.environ.get("PORT", PORT))
    for port in range(wanted, wanted + 100):
        if is_free(port):
            return port
    return free_port()


def _collect_assets(product: Product) -> None:
    """Hash and compress what browsers load, when any of it has changed."""
    digest = hashlib.sha256((paths.ROOT / "requirements.txt").read_bytes())
    for path in sorted((paths.ROOT / "static").rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(paths.ROOT)).encode() + path.read_bytes())
    stamp = paths.VAR / "static.sha256"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    product.manage("collectstatic", "--noinput", "-v", "0")
    stamp.write_text(digest.hexdigest())


def _has_demo() -> bool:
    return any(paths.ROOT.glob("apps/*/management/commands/demo.py"))


def _start(product: Product) -> None:
    product.services.start()
    product.host = _start_libvirt(paths.scratch() / "run-libvirt")
    say("Bringing the database up to date")
    product.manage("migrate", "--noinput")
    _collect_assets(product)
    done = product.folder / "demo.done"
    if _has_demo() and not done.exists() and not os.environ.get("HOSTEDAI_NO_DEMO"):
        say("Filling it with demonstration data (once)")
        (paths.LOGS / "demo.log").unlink(missing_ok=True)
        product.manage("demo", log="demo")
        done.touch()
    product.assemble()
    for part in product.parts:
        part.start()
    if not wait_until(product.is_ready, seconds=READY_SECONDS, every=0.2):
        raise Stopped(f"The portal did not become ready:\n{tail(product.parts[0].log)}")


def _greet(product: Product) -> None:
    show()
    show(f"  hostedai is at {product.address}")
    show()
    try:
        show((paths.LOGS / "demo.log").read_text().rstrip())
    except OSError:
        show("  No demonstration data.")
    show()
    show("  Logs: var/log   Stop: Ctrl-C")
    show()


def run(_: list[str], until: Callable[[], bool] = lambda: False) -> int:
    """Start, watch, stop."""
    adopt_orphans()
    lacking = packages.ensure(libvirt.APT_PACKAGES + packages.DOCUMENTS)
    bootstrap.python_packages(development=False)
    if lacking:
        say("Going on without them: simulated regions need no Debian package")
    folder = paths.open_folder(base_folder() / "run")
    handle = _lock(folder)
    paths.open_folder(paths.LOGS)
    remove_leftover_processes(folder)
    wanted = tuple(name for name, variable in GIVEN.items() if not os.environ.get(variable))
    product = Product(folder, _portal_port(), Services(folder, dies_by_us=True, wanted=wanted))
    with interruptible():
        try:
            _start(product)
            _greet(product)
            while not until():
                product.look_after()
                time.sleep(LOOK_EVERY)
        except Interrupted:
            show("\nStopping …")
        finally:
            product.stop()
            os.close(handle)
    show("Stopped.")
    return 0
