"""Makes a checkout ready: virtual environment, locked packages, Debian packages."""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from runner import libvirt, packages, paths
from runner.console import Stopped, say
from runner.services import locked

OLDEST = (3, 11)
STAMP = paths.VENV / ".hostedai"
LIBVIRT_STAMP = paths.VENV / ".hostedai-libvirt"
RUNTIME = ("requirements.txt",)
DEVELOPMENT = ("requirements.txt", "requirements-dev.txt")
TRIES = 3


def _fingerprint(files: tuple[str, ...]) -> str:
    digest = hashlib.sha256(f"{sys.version_info[:2]} {paths.ROOT}".encode())
    for name in files:
        digest.update((paths.ROOT / name).read_bytes())
    return digest.hexdigest()


def environment() -> dict[str, str]:
    """Our own environment for the installers, with a home that exists."""
    env = dict(os.environ)
    home = env.get("HOME", "")
    if not (home and os.path.isdir(home) and os.access(home, os.W_OK)):
        cache = paths.open_folder(paths.VAR / "cache")
        env |= {"HOME": str(cache), "UV_CACHE_DIR": str(cache / "uv"), "PIP_CACHE_DIR": str(cache / "pip")}
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "UV_NO_PROGRESS": "1"}
    return env | quiet | {"UV_SYSTEM_CERTS": "1"}  # the certificates that pip and apt trust


def _run(*command: str | Path) -> bool:
    ran = subprocess.run(
        [str(part) for part in command], cwd=paths.ROOT, env=environment(), check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if ran.returncode:
        say("\n".join(ran.stdout.splitlines()[-8:]))
    return ran.returncode == 0


def _works(python: Path) -> bool:
    return python.exists() and _run(python, "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))")


def _make_venv() -> None:
    if _works(paths.python()):
        return
    say("Making the virtual environment .venv")
    shutil.rmtree(paths.VENV, ignore_errors=True)
    if not _run(sys.executable, "-m", "venv", paths.VENV):
        packages.ensure((f"python3.{sys.version_info.minor}-venv",))
        shutil.rmtree(paths.VENV, ignore_errors=True)
        try:
            venv.create(paths.VENV, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Stopped(
                f"Python's venv module does not work here (apt install python3-venv): {error}"
            ) from error


def _install(files: tuple[str, ...]) -> bool:
    """uv is ten times as quick; pip does when uv cannot be had or does not get through."""
    arguments = ["--require-hashes", *(part for name in files for part in ("-r", name))]
    uv = paths.VENV / "bin" / "uv"
    if not uv.exists():
        _run(
            paths.python(),
            "-m",
            "pip",
            "install",
            "-q",
            "--require-hashes",
            "-r",
            "requirements-bootstrap.txt",
        )
    for _ in range(TRIES):
        if uv.exists() and _run(uv, "pip", "install", "-q", "--python", paths.python(), *arguments):
            return True
        if _run(paths.python(), "-m", "pip", "install", "-q", *arguments):
            return True
    return False


def _install_libvirt() -> None:
    """libvirt-python is built against the machine's own libvirt; without that there is no libvirt region."""
    wanted = _fingerprint(("requirements-libvirt.txt",))
    if LIBVIRT_STAMP.exists() and LIBVIRT_STAMP.read_text() == wanted:
        return
    probe = (
        subprocess.run(["pkg-config", "--exists", "libvirt"], check=False)
        if shutil.which("pkg-config")
        else None
    )
    if probe is None or probe.returncode:
        return
    say("Building libvirt-python against this machine's libvirt")
    if _install(("requirements-libvirt.txt",)):
        LIBVIRT_STAMP.write_text(wanted)


def _link_command() -> None:
    """`.venv/bin/hostedai`, the command of sdk/, runs from the checkout."""
    lines = [f"#!{paths.python()}", "import sys", f"sys.path.insert(0, {str(paths.ROOT / 'sdk')!r})"]
    text = "\n".join([*lines, "from hostedai_sdk.cli import entry", "entry()", ""])
    command = paths.VENV / "bin" / "hostedai"
    if not command.exists() or command.read_text() != text:
        command.write_text(text)
        command.chmod(0o755)


def python_packages(*, development: bool) -> None:
    """The virtual environment with the locked packages; quick when nothing changed."""
    if sys.version_info < OLDEST:
        raise Stopped(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.")
    if not sys.platform.startswith("linux"):
        raise Stopped("The runner needs Linux; elsewhere use compose.yaml.")
    wanted = _fingerprint(DEVELOPMENT if development else RUNTIME)
    with locked(paths.open_folder(paths.VAR)):
        known = STAMP.read_text().split() if STAMP.exists() else []
        if wanted not in known or not _works(paths.python()):
            _make_venv()
            say("Installing the locked Python packages")
            files = DEVELOPMENT if development else RUNTIME
            if not _install(files):
                raise Stopped(
                    "The Python packages could not be installed; is the package registry reachable?"
                )
            both = [_fingerprint(RUNTIME), *([_fingerprint(DEVELOPMENT)] if development else [])]
            STAMP.write_text("\n".join(both))
        _link_command()
        _install_libvirt()


def node_packages() -> None:
    """The locked JavaScript client that the gateway's tests ask with; without npm its test is skipped."""
    folder = paths.ROOT / "tests" / "gateway" / "js"
    lock = folder / "package-lock.json"
    stamp, npm = folder / "node_modules" / ".hostedai", shutil.which("npm")
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if npm is None:
        say("npm is not installed: the JavaScript client is not tried")
        return
    with locked(paths.open_folder(paths.VAR)):
        quiet = ("--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        ways = ("--prefer-offline", "--prefer-online")  # a registry that is slow once is asked again
        if any(_run(npm, "ci", *quiet, way, "--fetch-retries=1", "--fetch-timeout=30000") for way in ways):
            stamp.write_text(wanted)
        else:
            say("The JavaScript client could not be installed: it is not tried")


def everything(*, development: bool, browser: bool) -> list[str]:
    """All a checkout needs; returns the Debian packages that could not be had."""
    wanted = libvirt.APT_PACKAGES + packages.DOCUMENTS + (packages.BROWSER if browser else ())
    lacking = packages.ensure(wanted)
    python_packages(development=development)
    if development:
        node_packages()
    return lacking


LOCKED = (
    "requirements",
    "requirements-dev",
    "requirements-bootstrap",
    "requirements-libvirt",
    "requirements-skypilot",
)


def lock() -> int:
    """Resolve requirements*.in into hash-locked requirements*.txt that name no registry."""
    options = ["--generate-hashes", "--no-emit-index-url", "--no-annotate", "--no-header", "-q"]
    for name in LOCKED:
        say(f"Locking {name}.in")
        source, target = f"{name}.in", f"{name}.txt"
        compiled = ["pip", "compile", *options, "--python-version", "3.11", source, "-o", target]
        if not _run(paths.VENV / "bin" / "uv", *compiled):
            raise Stopped(f"{name}.in could not be resolved.")
    return 0
