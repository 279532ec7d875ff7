"""What a confined process can still do: asked of a real one, by calls that an attacker would make."""

import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.drivers.local import sandbox

HOME = Path(sandbox.__file__).parents[3]
LANDLOCK, MACHINE = sandbox.version(), platform.machine()
needs_landlock = pytest.mark.skipif(not LANDLOCK, reason="this kernel has no Landlock")
needs_network = pytest.mark.skipif(LANDLOCK < sandbox.NETWORK_SINCE, reason="its Landlock knows no network")
needs_scopes = pytest.mark.skipif(LANDLOCK < sandbox.SCOPES_SINCE, reason="its Landlock knows no signals")
needs_seccomp = pytest.mark.skipif(MACHINE not in ("x86_64", "aarch64"), reason=f"no filter for {MACHINE}")

# Confines itself to a folder and then tries; what each try came to is what it says.
PROGRAM = """
import ctypes, json, os, socket, subprocess, sys
from pathlib import Path
sys.path.append(sys.argv[1])
from apps.drivers.local import sandbox
told = sandbox.confine([Path(sys.argv[2])])
asked = json.loads(sys.argv[3])
try:
    said = eval(compile(asked, "asked", "eval"))
except OSError as error:
    said = type(error).__name__
print(json.dumps([told, said]))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("weights")
    (tmp_path / "secret").write_text("of somebody else")
    return folder


def tried(model: Path, what: str) -> Any:
    """What comes of this expression in a process that is confined to the model."""
    arguments = [sys.executable, "-I", "-c", PROGRAM, str(HOME), str(model), json.dumps(what)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)[1]


def test_it_reads_its_model_and_answers_on_a_port_of_its_own(model: Path) -> None:
    assert tried(model, f"Path({str(model / 'weights')!r}).read_text()") == "weights"
    serve = "[s := socket.create_server(('127.0.0.1', 0)), s.getsockname()[1] > 0][1]"
    assert tried(model, serve) is True
    assert tried(model, "__import__('resource').getrlimit(7)[0] > 0") is True
    thread = "[t := __import__('threading').Thread(target=print), t.start(), t.join()] and 'ran'"
    assert tried(model, thread.replace("print", "int")) == "ran"


@needs_landlock
@pytest.mark.parametrize(
    "what",
    [
        "open({secret!r}).read()",
        "open({weights!r}, 'a')",
        "open({folder!r} + '/more', 'w')",
        "os.symlink({secret!r}, {folder!r} + '/link')",
        "os.listdir('/')",
        "open('/proc/{parent}/environ').read()",
        "open('/proc/{parent}/cmdline').read()",
    ],
)
def test_it_reads_nothing_else_and_writes_nothing(model: Path, what: str) -> None:
    known = {"secret": str(model.parent / "secret"), "weights": str(model / "weights"), "folder": str(model)}
    assert tried(model, what.format(**known, parent=os.getpid())) == "PermissionError"


@pytest.fixture
def neighbour() -> Iterator[int]:
    """The port of somebody else on this host."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield door.getsockname()[1]


@needs_network
def test_it_calls_nobody_and_takes_no_port_that_it_likes(model: Path, neighbour: int) -> None:
    assert tried(model, f"socket.create_connection(('127.0.0.1', {neighbour}))") == "PermissionError"
    bound = f"[s := socket.socket(), s.bind(('127.0.0.1', {neighbour}))]"
    assert tried(model, bound) == "PermissionError"


@needs_scopes
def test_it_signals_nobody(model: Path) -> None:
    assert tried(model, f"os.kill({os.getpid()}, 0)") == "PermissionError"


@needs_seccomp
@pytest.mark.parametrize(
    "what",
    [
        "subprocess.run(['/bin/true'])",
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "sandbox._call('ptrace', 16, {parent}, 0, 0)",
        "sandbox._call('syscall', 425, 8, bytes(120))",
        "sandbox._call('unshare', 0x10000000)",
        "sandbox._call('prlimit', {parent}, 7, None, bytes(16))",
        "os.setpriority(os.PRIO_PROCESS, {parent}, 19)",
        "os.sched_setaffinity({parent}, [0])",
        "os.chmod({secret!r}, 0o666)",
        "os.chown({secret!r}, -1, -1)",
        "os.utime({secret!r})",
        "os.truncate({secret!r}, 0)",
        "os.setxattr({secret!r}, 'user.mark', b'')",
        "sandbox._call('shmget', 1, 1, 0)",
    ],
)
def test_it_starts_nothing_and_opens_no_other_door(model: Path, what: str) -> None:
    secret = str(model.parent / "secret")
    assert tried(model, what.format(parent=os.getpid(), secret=secret)) == "PermissionError"


def test_it_has_no_capabilities(model: Path) -> None:
    held = "[line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapP', 'CapE'))]"
    assert {int(one, 16) for one in tried(model, held)} == {0}
