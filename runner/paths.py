"""Where a checkout keeps its things, and where they go when the checkout is closed to service accounts."""

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from runner.console import Stopped

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VAR = ROOT / "var"
LOGS = VAR / "log"


def python() -> Path:
    """The interpreter of the checkout's own virtual environment."""
    return VENV / "bin" / "python"


def site_packages() -> Path:
    """The folder where the checkout's packages are."""
    found = sorted((VENV / "lib").glob("python3.*/site-packages"))
    if not found:
        raise Stopped("The virtual environment is not there; run `make setup`.")
    return found[-1]


def open_folder(path: Path) -> Path:
    """Make a folder others may pass through, whatever the umask is."""
    for missing in reversed([p for p in (path, *path.parents) if not p.exists()]):
        missing.mkdir(exist_ok=True)
        missing.chmod(0o755)
    return path


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may enter."""
    open_folder(path.parent)
    path.mkdir(exist_ok=True)
    path.chmod(0o700)
    return path


def _scratch_root() -> Path:
    for candidate in (Path("/var/tmp"), Path(tempfile.gettempdir())):  # noqa: S108 - checked for its owner
        if candidate.is_dir() and os.access(candidate, os.W_OK | os.X_OK):
            return candidate
    raise Stopped("Neither /var/tmp nor the temporary folder can be written to.")


def checkout_key() -> str:
    """A short name for this checkout, different for each place on the machine."""
    return hashlib.sha256(str(ROOT).encode()).hexdigest()[:10]


def scratch() -> Path:
    """This checkout's folder outside of itself: short, and open to service accounts."""
    path = _scratch_root() / f"hostedai-{os.geteuid()}-{checkout_key()}"
    path.mkdir(exist_ok=True, mode=0o755)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise Stopped(f"{path} belongs to somebody else; remove it.")
    path.chmod(0o755)
    return path


def may_enter(path: Path, *, uid: int, gid: int) -> bool:
    """Whether that account gets to this folder; asked of the system, not guessed from modes."""
    tool = shutil.which("test") or "/usr/bin/test"
    asked = subprocess.run(
        [tool, "-x", str(path)], user=uid, group=gid, extra_groups=[], check=False, cwd="/"
    )
    return asked.returncode == 0
