"""`make run`: the whole product on one machine; what dies is started again, Ctrl-C ends it all."""

import fcntl
import hashlib
import http
import http.client
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runner import bootstrap, libvirt, packages, parts, paths
from runner.console import Stopped, say, show
from runner.interrupts import Interrupted, interruptible
from runner.parts import Part
from runner.ports import free_port, is_free
from runner.processes import (
    adopt_orphans,
    die_with_parent,
    end_children,
    is_alive,
    reap,
    tail,
    wait_until,
)
from runner.services import Services, base_folder, remove_leftover_processes

PORT = 8000
READY_SECONDS = 300
LOOK_EVERY = 0.5
FILLING = "filling"  # marks a database that is being made and filled for the first time
GIVEN = {"postgres": "DATABASE_URL", "valkey": "REDIS_URL", "objects": "S3_ENDPOINT_URL"}


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
            "HOSTEDAI_LEASH": str(os.getpid()),  # what our workers start ends with us
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
                preexec_fn=die_with_parent(signal.SIGKILL),
            )  # fmt: skip
        if ran.returncode:
            raise Stopped(f"`manage.py {' '.join(words)}` failed:\n{tail(errors)}")

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


def _digest(*patterns: str) -> str:
    """Changes with the content of the checkout's files of these names, and with the locked packages."""
    digest = hashlib.sha256()
    for path in sorted(
        {path for pattern in ("requirements.txt", *patterns) for path in paths.ROOT.glob(pattern)}
    ):
        if path.is_file():
            digest.update(str(path.relative_to(paths.ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def _manage_unless_done(product: Product, stamp: Path, digest: str, *words: str) -> None:
    """Run a command whose outcome depends on these files alone, unless it was run for the same."""
    if stamp.exists() and stamp.read_text() == digest:
        return
    product.manage(*words)
    stamp.write_text(digest)


def _collect_assets(product: Product) -> None:
    """Hash and compress what browsers load."""
    words = ("collectstatic", "--noinput", "-v", "0")
    _manage_unless_done(product, paths.VAR / "static.sha256", _digest("static/**/*"), *words)


def _migrate(product: Product) -> None:
    """Bring the database up to date. The mark lies with our own server's data; another's is always asked."""
    say("Bringing the database up to date")
    if "postgres" not in product.services.wanted:
        product.manage("migrate", "--noinput")
        return
    sources = _digest("apps/*/migrations/*.py", "hostedai/settings/base.py")
    stamp = product.folder / "postgres" / "migrated.sha256"
    _manage_unless_done(product, stamp, sources, "migrate", "--noinput")


def _has_demo() -> bool:
    return any(paths.ROOT.glob("apps/*/management/commands/demo.py"))


def forget_half_filled(folder: Path, var: Path) -> None:
    """Throw away what an interrupted first start left: nobody has used it, and half of it is of no use.

    A database that was there before the first filling began has no such mark, and is kept.
    """
    if (folder / FILLING).exists():
        say("The first start was interrupted; beginning anew")
        for name in ("postgres", "valkey", "objects", "agent"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in ("sim", "gateway"):
            shutil.rmtree(var / name, ignore_errors=True)
        (folder / FILLING).unlink()


def _start(product: Product) -> None:
    if "postgres" in product.services.wanted:
        forget_half_filled(product.folder, paths.VAR)
        if not (product.folder / "postgres").exists():
            (product.folder / FILLING).touch()
    product.services.start()
    product.host = _start_libvirt(paths.scratch() / "run-libvirt")
    _migrate(product)
    _collect_assets(product)
    done = product.folder / "demo.done"
    if _has_demo() and not done.exists() and not os.environ.get("HOSTEDAI_NO_DEMO"):
        say("Filling it with demonstration data (once)")
        (paths.LOGS / "demo.log").unlink(missing_ok=True)
        product.manage("demo", log="demo")
        done.touch()
    (product.folder / FILLING).unlink(missing_ok=True)
    product.parts = parts.of_the_product(port=product.port, environment=product.environment)
    if done.exists():
        product.parts.append(_agent(product))
    portal, *others = product.parts
    portal.start()
    if not wait_until(product.is_ready, seconds=READY_SECONDS, every=0.2):
        raise Stopped(f"The portal did not become ready:\n{tail(portal.log)}")
    for part in others:  # while somebody signs in
        part.start()
    if done.exists():
        say("A model for embeddings is fetched meanwhile; everything else works")
        product.parts.append(parts.embedder(product.environment))
        product.parts[-1].start()


def _agent(product: Product) -> parts.Part:
    """This machine is a node of the region `local`."""
    folder = paths.private_folder(product.folder / "agent")
    if not (folder / "identity.json").exists():
        product.manage("local_agent", str(folder))
    return parts.agent(url=product.address, folder=folder)


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
