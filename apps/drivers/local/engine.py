"""One engine: a llama.cpp server in a process of its own.

The folder's `spec.json` says what to serve. The process holds the folder's lock for as long as it lives: so
there is one engine per folder, and everybody can see whether it lives. It outlives whoever started it; with a
leash (`HOSTEDAI_LEASH=<pid>`) it ends when that process does. It fetches the model and proves it. What opens
the model is its child, which is confined (`sandbox.py`), writes nothing here and is taken at its word in
nothing.
"""

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import resource
import select
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import xllamacpp

from apps.drivers.local import sandbox

PIECE = 1 << 20
PATIENCE = 60.0  # seconds in which an answer of the store must go on
LOG_MOST = 1 << 20  # bytes of the log; as many again are kept of what was before
VERBOSITY = 3  # what it loads and how long each request took; never what was asked or answered


# How the child ends, and what that is called.
CANNOT_LOAD, CANNOT_CONFINE = 3, 4
ENDINGS = {
    CANNOT_LOAD: "The engine cannot load this model.",
    CANNOT_CONFINE: "The engine cannot be confined on this host.",
}
LONGEST_LINE = 100


class Refused(Exception):
    """Why it cannot serve, in words for the user."""


class Told:
    """What the process lets others know: `state.json`, always whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last = 0.0

    def write(self, name: str, said: dict[str, Any]) -> None:
        """Replace a file of the folder; fails when the folder is gone."""
        fresh = self.folder / f".{name}.{os.getpid()}"
        fresh.write_text(json.dumps(said))
        fresh.replace(self.folder / name)

    def phase(self, phase: str, **more: Any) -> None:
        self.write("state.json", {"phase": phase, **more})

    def progress(self, done: int, total: int) -> None:
        """At most ten times a second."""
        now = time.monotonic()
        if now - self.last > 0.1:
            self.last = now
            self.phase("fetching", progress=done / max(total, 1))


def run() -> None:
    """Of `python -c … <where our packages are> <folder>`."""
    serve(Path(sys.argv[2]))


def serve(folder: Path) -> None:
    """Serve what the folder says, in a process that is nobody's child."""
    lock = os.open(folder / "lock", os.O_RDWR)
    if not hold(lock):
        return  # there is one already
    if os.fork():  # the lock goes with the child, whom whoever started us need not bury
        os._exit(0)
    os.setsid()
    told = Told(folder)
    told.write("process.json", {"pid": os.getpid(), "started": started_at(os.getpid())})
    told.phase("fetching", progress=0.0)
    last_of_all()
    child, orders, heard = bear(lock)
    hold_leash(os.environ.pop("HOSTEDAI_LEASH", ""))
    threading.Thread(target=bound_log, args=(folder / "engine.log",), daemon=True).start()
    signal.signal(signal.SIGTERM, leave)
    spec = json.loads((folder / "spec.json").read_text())
    try:
        say(f"fetching the model, {sum(file['size'] for file in spec['files']) / (1 << 20):.1f} MiB")
        model = fetch(spec, told)
        say(f"loading {model.name}: {spec['parallel']} requests of {spec['context_length']} tokens at once")
        told.phase("loading", progress=1.0)
        wanted = {name: spec[name] for name in NEEDED} | {"path": str(model)}
        with os.fdopen(orders, "w") as out:
            json.dump(wanted, out)
        attend(child, heard, told)
    except (Refused, OSError, http.client.HTTPException) as error:
        say(f"ended: {error}")
        told.phase("exited", failure=str(error))
        sys.exit(1)


def bear(lock: int) -> tuple[int, int, int]:
    """The child that will serve: its number, where it takes its orders, and what it says."""
    orders, give = os.pipe()
    heard, says = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if not child:
        sandbox.die_with(parent)
        for theirs in (lock, give, heard):
            os.close(theirs)
        serve_confined(orders, says)
    os.close(orders)
    os.close(says)
    return child, give, heard


def attend(child: int, heard: int, told: Told) -> NoReturn:
    """Tell where the child serves, and raise Refused when it has ended."""
    with os.fdopen(heard, "rb") as lines:
        while line := lines.readline(LONGEST_LINE):
            if line.strip().isdigit() and listens(child, port := int(line)):
                say("serving")
                told.phase("serving", progress=1.0, url=f"http://127.0.0.1:{port}")
    _child, status = os.waitpid(child, 0)
    raise Refused(ENDINGS.get(os.waitstatus_to_exitcode(status), "The engine ended."))


def listens(pid: int, port: int) -> bool:
    """Whether this port of the host is that process's own: another would be somebody's whom it may mean to
    be asked in its place."""
    own = {os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()}
    listening = "0A"
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        _number, local, _remote, state, *rest = line.split()
        if (state, int(local.partition(":")[2], 16)) == (listening, port) and f"socket:[{rest[5]}]" in own:
            return True
    return False


def say(text: str) -> None:
    """A line for whoever reads the log."""
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n"
    with contextlib.suppress(OSError):
        os.write(1, line.encode(errors="replace"))


def leave(*_signal: object) -> None:
    say("asked to end")
    os._exit(0)


def bound_log(log: Path) -> None:
    """Keep the log from growing for ever. It is emptied, not replaced: everybody here writes at its end."""
    while True:
        time.sleep(1.0)
        with contextlib.suppress(OSError):
            if os.fstat(1).st_size > LOG_MOST:
                shutil.copyfile(log, log.with_name(f".{log.name}"))
                log.with_name(f".{log.name}").replace(log.with_name(f"{log.name}.1"))
                os.ftruncate(1, 0)


def hold(lock: int) -> bool:
    """Take the folder's lock; those who only look at it hold it for an instant."""
    for _try in range(100):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.01)
    return False


def started_at(pid: int) -> int:
    """When a process began, in clock ticks since boot: with the number it names a process for good."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def last_of_all() -> None:
    """No core files, and out before the portal when memory runs short."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def hold_leash(leash: str) -> None:
    """End with the process that holds the leash, however that ends."""
    if not leash:
        return
    try:
        holder = os.pidfd_open(int(leash))
    except OSError:
        os._exit(0)

    def wait() -> None:
        select.select([holder], [], [])
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


# ------------------------------------------------------------------ the model's files


def fetch(spec: dict[str, Any], told: Told) -> Path:
    """Have every file in the cache, each proven by its checksum; the path of the first weights."""
    home = Path(spec["cache"]) / spec["digest"].removeprefix("sha256:")
    home.mkdir(parents=True, exist_ok=True)
    total, done = sum(file["size"] for file in spec["files"]), 0
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two engines of one model fetch it once
        for file in spec["files"]:
            fetch_one(home, file, lambda arrived, before=done: told.progress(before + arrived, total))
            done += file["size"]
    weights = sorted(file["path"] for file in spec["files"] if file["path"].endswith(".gguf"))
    if not weights:
        raise Refused("This engine serves GGUF files only, and the model has none.")
    found: Path = home / weights[0]
    return found


def fetch_one(home: Path, file: dict[str, Any], tell: Any) -> None:
    place = (home / file["path"]).resolve()
    if home.resolve() not in place.parents:
        raise Refused(f"The path {file['path']} leads out of the model.")
    place.parent.mkdir(parents=True, exist_ok=True)
    stamp = place.with_name(f".{place.name}.checked")
    if place.exists() and stamp.exists() and stamp.read_text() == mark(place, file):
        return
    if not (place.exists() and digest(place) == file["sha256"]):
        part = place.with_name(f".{place.name}.part")
        copy(file, part, tell)
        found = digest(part)
        if found != file["sha256"]:
            part.unlink()
            raise Refused(f"The checksum of {file['path']} is not what the registry says.")
        part.replace(place)
    stamp.write_text(mark(place, file))


def mark(place: Path, file: dict[str, Any]) -> str:
    """Says that this very file was checked: anything that changes it changes this."""
    found = place.stat()
    return f"{file['sha256']} {found.st_size} {found.st_mtime_ns} {found.st_ino}"


def digest(place: Path) -> str:
    with place.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def copy(file: dict[str, Any], part: Path, tell: Any) -> None:
    """Bring a file here, going on where an earlier attempt broke off."""
    source = file["source"]
    if source.startswith("/"):
        shutil.copyfile(source, part)
        return
    have = part.stat().st_size if part.exists() else 0
    if have > file["size"]:
        part.unlink()
        have = 0
    if have < file["size"] or have == 0:
        download(source, part, have, tell)


def download(source: str, part: Path, have: int, tell: Any) -> None:
    address = urlsplit(source)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.netloc, timeout=PATIENCE)
    try:
        headers = {"Range": f"bytes={have}-"} if have else {}
        connection.request("GET", f"{address.path}?{address.query}", headers=headers)
        answer = connection.getresponse()
        if answer.status not in (200, 206):
            raise Refused(f"The store answers {answer.status} when asked for the model.")
        with part.open("ab" if answer.status == 206 else "wb") as out:
            arrived = out.tell()
            while piece := answer.read(PIECE):
                out.write(piece)
                arrived += len(piece)
                tell(arrived)
    finally:
        connection.close()


# ------------------------------------------------------------------ the child, which serves

NEEDED = ("parallel", "context_length", "model", "api_key", "threads", "modality")


def serve_confined(orders: int, says: int) -> NoReturn:
    """Wait for the model, give up all rights but those of a server, and open it."""
    with os.fdopen(orders) as given:
        said = given.read()
    if not said:
        os._exit(0)  # there is none
    spec = json.loads(said)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LOG_MOST * 16, LOG_MOST * 16))  # of the log, between two looks
    try:
        lost = sandbox.confine([Path(spec["path"]).parent])
    except OSError as error:
        say(f"not confined: {error}")
        os._exit(CANNOT_CONFINE)
    say(f"confined: {', '.join(lost)}")
    try:
        server = xllamacpp.Server(params_of(spec))
    except RuntimeError:
        os._exit(CANNOT_LOAD)
    os.write(says, b"%d\n" % (urlsplit(server.listening_address).port or 0))
    while True:  # the server has threads of its own
        signal.pause()


def params_of(spec: dict[str, Any]) -> Any:
    """What llama.cpp is told."""
    wanted = xllamacpp.CommonParams()
    wanted.model.path = spec["path"]
    wanted.n_parallel = spec["parallel"]
    wanted.n_ctx = spec["context_length"] * spec["parallel"]
    wanted.hostnames = ["127.0.0.1"]
    wanted.port = 0  # any that is free
    wanted.endpoint_metrics = True
    wanted.model_alias = {spec["model"]}
    wanted.api_keys = [spec["api_key"]]
    wanted.use_jinja = True
    wanted.ui = False
    wanted.verbosity = VERBOSITY
    wanted.cache_ram_mib = 0
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = spec["threads"]
    if spec["modality"] == "embedding":
        wanted.embedding = True
        wanted.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        wanted.n_batch = wanted.n_ubatch = max(spec["context_length"], 512)
    return wanted
