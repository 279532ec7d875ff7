"""Engines as processes of this host. They outlive the worker that started them."""

import fcntl
import http.client
import importlib.metadata
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from apps.drivers.base import Checked, Driver, Listing, MachineRef
from apps.drivers.configs import LocalConfig
from apps.drivers.engines import LOG_MOST, CanServe, Engine, EngineSpec, Phase
from apps.drivers.errors import NoCapacity, Rejected, Transient
from apps.drivers.local import sandbox
from apps.drivers.masking import plain

LIBRARY = "xllamacpp"
# Isolated from the environment and the folder it starts in; our own packages come last.
PROGRAM = "import sys; sys.path.append(sys.argv[1]); from apps.drivers.local.engine import run; run()"
HOME = Path(__file__).parents[3]
HEALTH_SECONDS = 1.0  # how long an engine of this very host may take to say that it is well
START_SECONDS = 15.0
# All that an engine inherits: it has no business with our secrets.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "HOSTEDAI_LEASH")
_ORDER = {Phase.FETCHING, Phase.LOADING}


@dataclass(frozen=True, slots=True)
class Found:
    """A folder and what is said in it."""

    folder: Path
    spec: dict[str, Any]
    state: dict[str, Any]
    is_alive: bool


class LocalDriver(Driver, CanServe):
    """llama.cpp servers on the loopback interface, one process and one folder each."""

    kind: ClassVar[str] = "local"
    quick_seconds: ClassVar[float] = 2.0

    def __init__(self, config: LocalConfig) -> None:
        self.config = config
        self.engines = Path(config.folder) / "engines"
        self.trash = Path(config.folder) / "trash"
        self.cache = Path(config.folder) / "models"

    def check(self) -> Checked:
        if importlib.util.find_spec(LIBRARY) is None:
            raise Rejected("The engine is not installed where this region's worker runs.", detail=LIBRARY)
        with _disk():
            self._prepare()
        landlock = sandbox.version()
        jail = f"Landlock {landlock}" if landlock else "no Landlock: serve only files that you trust"
        version = f"llama.cpp ({LIBRARY} {importlib.metadata.version(LIBRARY)}), {jail}"
        return Checked(version=version, detail=f"engines in {self.config.folder}")

    def observe_engine(self, name: str) -> Engine | None:
        with _disk():
            found = self._find(name)
        if found is None:
            return None
        phase, failure = self._phase(found)
        return Engine(
            phase=phase,
            installation=found.spec["installation"],
            resource_id=found.spec["resource_id"],
            fence=found.spec["fence"],
            url=found.state.get("url", ""),
            progress=float(found.state.get("progress", 0.0)),
            failure=failure,
            host=socket.gethostname().partition(".")[0].lower(),
        )

    def launch_engine(self, spec: EngineSpec) -> None:
        with _disk():
            self._prepare()
            found = self._find(spec.name)
            if found is not None and found.spec["installation"] != spec.installation:
                raise Rejected("An engine of that name exists which is not ours.", detail=spec.name)
            if found is None:
                self._require_room()
            folder = self.engines / spec.name
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / "lock").touch(mode=0o600)
            fence = max(spec.fence, found.spec["fence"] if found else 0)
            threads = max(1, min(spec.vcpus, os.cpu_count() or 1))
            if found is not None and found.is_alive:
                _write(folder / "spec.json", {**found.spec, "fence": fence})
                return
            (folder / "state.json").unlink(missing_ok=True)
            said = {**asdict(spec), "fence": fence, "cache": str(self.cache), "threads": threads}
            _write(folder / "spec.json", said)
            self._start(folder)

    def delete_engine(self, name: str, *, force: bool = False) -> None:
        with _disk():
            found = self._find(name)
            if found is None:
                return
            if found.is_alive:
                (found.folder / "stopping").touch()
                _signal(found.folder, signal.SIGKILL if force else signal.SIGTERM)
                return
            self._remove(found.folder)

    def count_open(self, name: str) -> int | None:
        with _disk():
            found = self._find(name)
        if found is None or not found.is_alive or not found.state.get("url"):
            return None
        status, text = _ask(found.state["url"], "/metrics", found.spec["api_key"])
        if status != 200:
            return None
        wanted = ("llamacpp:requests_processing ", "llamacpp:requests_deferred ")
        lines = [line for line in text.splitlines() if line.startswith(wanted)]
        return sum(int(float(line.split()[1])) for line in lines) if lines else None

    def read_log(self, name: str) -> str:
        with _disk():
            found = self._find(name)
            if found is None:
                return ""
            said = _last_lines([found.folder / "engine.log.1", found.folder / "engine.log"])
        queries = [urlsplit(file["source"]).query for file in found.spec.get("files", ())]
        here = f"{self.config.folder}/"  # where it stands on its host is for nobody to know
        return plain(said.replace(here, ""), [found.spec.get("api_key", ""), *queries])

    def list_engines(self) -> Listing:
        with _disk():
            names = sorted(entry.name for entry in os.scandir(self.engines)) if self.engines.is_dir() else []
            found = [(name, self._find(name)) for name in names]
        refs = [
            MachineRef(name, one.spec["installation"], one.spec["resource_id"], one.spec["fence"])
            for name, one in found
            if one is not None and one.spec["installation"]
        ]
        return Listing(tuple(refs))

    # ------------------------------------------------------------ folders

    def _prepare(self) -> None:
        for folder in (self.engines, self.trash, self.cache):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _find(self, name: str) -> Found | None:
        folder = self.engines / name
        if not folder.is_dir():
            return None
        spec = {"installation": "", "resource_id": "", "fence": 0, **_read(folder / "spec.json")}
        return Found(folder, spec, _read(folder / "state.json"), _is_locked(folder))

    def _require_room(self) -> None:
        count = sum(1 for _entry in os.scandir(self.engines))
        if count >= self.config.most_engines:
            raise NoCapacity("This host runs as many engines as it may.", detail=f"{count} engines")

    def _phase(self, found: Found) -> tuple[Phase, str]:
        said = Phase(found.state.get("phase", Phase.FETCHING))
        if not found.is_alive:
            return Phase.EXITED, found.state.get("failure") or "The engine ended."
        if (found.folder / "stopping").exists():
            return Phase.STOPPING, ""
        if said in _ORDER:
            return said, ""
        status, _text = _ask(found.state.get("url", ""), "/health", "")
        return (Phase.SERVING, "") if status == 200 else (Phase.SILENT, "The engine does not answer.")

    def _start(self, folder: Path) -> None:
        """Start the program; it leaves our family at once, so that our end is not its own."""
        (folder / "stopping").unlink(missing_ok=True)
        env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        with (folder / "engine.log").open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, "-I", "-c", PROGRAM, str(HOME), str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                cwd="/",
                start_new_session=True,
            )
        try:
            code = started.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired as error:
            started.kill()
            raise Transient("This host is too busy to start an engine.") from error
        if code:
            raise Transient("The engine does not start on this host.", detail=f"see {folder / 'engine.log'}")

    def _remove(self, folder: Path) -> None:
        """Take the folder away under its lock: an engine just starting then finds nothing to serve."""
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            away = self.trash / f"{folder.name}.{secrets.token_hex(4)}"
            folder.rename(away)
        finally:
            os.close(lock)
        shutil.rmtree(away, ignore_errors=True)


@contextmanager
def _disk() -> Iterator[None]:
    """What the file system refuses may go better next time."""
    try:
        yield
    except OSError as error:
        raise Transient("The engine's host is busy.", detail=str(error)) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return said


def _last_lines(files: list[Path]) -> str:
    """The end of what stands in the files together; a line that would be cut is left out."""
    said = b""
    for file in reversed(files):
        with suppress(FileNotFoundError), file.open("rb") as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, size - LOG_MOST - 1))
            said = opened.read() + said
    if len(said) > LOG_MOST:
        said = said[-LOG_MOST - 1 :].partition(b"\n")[2]
    return said.decode(errors="replace")


def _write(file: Path, said: dict[str, Any]) -> None:
    fresh = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(said, out)
    fresh.replace(file)


def _is_locked(folder: Path) -> bool:
    """Whether a process holds the folder: the kernel says so, and lets go when the process ends."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def _signal(folder: Path, sign: signal.Signals) -> None:
    """Send it to this very process; another with the same number is left alone."""
    known = _read(folder / "process.json")
    with suppress(OSError):
        if known and _started_at(known["pid"]) == known["started"]:
            os.kill(known["pid"], sign)


def _started_at(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def _ask(url: str, path: str, key: str) -> tuple[int, str]:
    """Ask the engine; (0, "") when it does not answer in time."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=HEALTH_SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
        answer = connection.getresponse()
        return answer.status, answer.read(1 << 20).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()
