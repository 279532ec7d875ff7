"""The quick checks: style, types, the import map, sizes, and drift of what is generated."""

import hashlib
import os
import subprocess
import time
from collections.abc import Callable

from runner import bootstrap, paths
from runner.console import say, show

BUILT = paths.ROOT / "static" / "dist"
SOURCES_STAMP = BUILT / "SOURCES.sha256"
FRONTEND = ("*.css", "*.js", "*.sh", "*.py", "*.txt", "package-lock.json", "css/**/*", "js/**/*")
LIMIT_SECONDS = 15 * 60


def _tool(*command: str) -> Callable[[], tuple[bool, str]]:
    def run() -> tuple[bool, str]:
        binary = paths.VENV / "bin" / command[0]
        ran = subprocess.run(
            [str(binary), *command[1:]],
            cwd=paths.ROOT,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_SECONDS,
        )
        return ran.returncode == 0, (ran.stdout + ran.stderr).strip()

    return run


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TERM", "CI") if name in os.environ}
    return kept | {
        "DJANGO_SETTINGS_MODULE": "hostedai.settings.test",
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "HOSTEDAI_VAR": str(paths.open_folder(paths.VAR / "check")),
        "DB_SCOPE": "*",
        "SECRET_KEY": "-".join(map(str, range(30))),  # as long as a real one, for the settings of production
        "ALLOWED_HOSTS": "cloud.example.com",
        "LC_ALL": "C.UTF-8",
        "PYTHONUTF8": "1",
        "PYTHONPATH": str(paths.ROOT),
    }


def frontend_fingerprint() -> str:
    """Changes with the sources that `make assets` builds from."""
    digest = hashlib.sha256()
    folder = paths.ROOT / "frontend"
    found = {path for pattern in FRONTEND for path in folder.glob(pattern) if path.is_file()}
    for path in sorted(found):
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def _assets() -> tuple[bool, str]:
    if not (paths.ROOT / "frontend").exists():
        return True, ""
    built = SOURCES_STAMP.read_text().strip() if SOURCES_STAMP.exists() else ""
    return built == frontend_fingerprint(), "static/dist is older than frontend/: run `make assets`."


def _manage(*arguments: str) -> Callable[[], tuple[bool, str]]:
    return _tool("python", "-W", "ignore", "manage.py", *arguments)


CHECKS: dict[str, Callable[[], tuple[bool, str]]] = {
    "format": _tool("ruff", "format", "--check", "."),
    "lint": _tool("ruff", "check", "."),
    "imports": _tool("lint-imports"),
    "types": _tool("mypy"),
    "migrations": _manage("makemigrations", "--check", "--dry-run"),
    "openapi": _manage("openapi", "--check"),
    "deploy": _manage("check", "--deploy", "--fail-level", "WARNING", "--settings", "hostedai.settings.prod"),
    "assets": _assets,
    "architecture": _tool("python", "-m", "pytest", "tests/architecture", "-q", "-p", "no:cacheprovider"),
}


def run(arguments: list[str]) -> int:
    """All checks, or those named; every one runs, whatever the others say."""
    bootstrap.python_packages(development=True)
    failed = []
    for name in arguments or CHECKS:
        began = time.monotonic()
        fine, output = CHECKS[name]()
        say(f"{name}: {'ok' if fine else 'FAILED'} ({time.monotonic() - began:.1f} s)")
        if not fine:
            failed.append(name)
            show(output)
    if failed:
        show(f"Checks that failed: {', '.join(failed)}")
    return 1 if failed else 0


def assets(_: list[str]) -> int:
    """Build static/dist from frontend/ and note from what."""
    built = subprocess.run(
        ["sh", "build.sh"], cwd=paths.ROOT / "frontend", stdin=subprocess.DEVNULL, check=False
    )
    return built.returncode


def stamp(_: list[str]) -> int:
    """Write down which sources the built files come from; the build does so at its end."""
    paths.open_folder(BUILT)
    SOURCES_STAMP.write_text(f"{frontend_fingerprint()}\n")
    return 0
