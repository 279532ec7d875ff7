"""How long the two commands of the README take from a fresh clone with nothing cached.

The clone has a home of its own, so neither pip nor uv finds a package it knows. Debian packages are not taken
off the machine: which of them were missing is part of the report. BENCH_ONLY=run or BENCH_ONLY=test measures
one command and leaves what is written of the other.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.stage import Report
from runner import libvirt, packages
from runner.console import show
from runner.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1800
KEPT = ("PATH", "TERM", "LANG", "SSL_CERT", "PIP_", "UV_")
EVIDENCE = ROOT / "evidence" / "commands.json"
GREETING = "hostedai is at"


def measure() -> Report:
    only = os.environ.get("BENCH_ONLY", "")
    report = Report("commands")
    report.goals = {"first_run_s": "≤ 300", "later_run_s": "≤ 10", "test_s": "≤ 900", "test_exit": "0"}
    if only and EVIDENCE.exists():
        report.figures |= json.loads(EVIDENCE.read_text())["figures"]
    wanted = libvirt.APT_PACKAGES + packages.DOCUMENTS + packages.BROWSER
    report.figures["debian_packages_missing_before"] = packages.missing(wanted)
    with _fresh_clone() as (clone, env):
        if only != "test":
            report.figures["run_commit"] = _git(clone, "rev-parse", "--short", "HEAD")
            report.figures["first_run_s"] = _until_greeted(clone, env)
            report.figures["later_run_s"] = _until_greeted(clone, env)
        if only != "run":
            report.figures["test_commit"] = _git(clone, "rev-parse", "--short", "HEAD")
            report.figures |= _tested(clone, env)
    return report


def _tested(clone: Path, env: dict[str, str]) -> dict[str, float | int | str]:
    began = time.monotonic()
    ran = subprocess.run(
        ["make", "test"],
        cwd=clone, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ran.returncode:
        show(ran.stdout[-20_000:])
    said = ran.stdout.strip().rpartition("\n")[2].strip("= ")
    return {"test_s": round(time.monotonic() - began, 1), "test_exit": ran.returncode, "test_said": said}


@contextmanager
def _fresh_clone() -> Iterator[tuple[Path, dict[str, str]]]:
    folder = Path(tempfile.mkdtemp(prefix="hostedai-commands-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        clone, home = folder / "hostedai", folder / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        env = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
        env |= {
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "UV_CACHE_DIR": str(home / "uv"),
            "PIP_CACHE_DIR": str(home / "pip"),
        }
        yield clone, env
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _until_greeted(clone: Path, env: dict[str, str]) -> float:
    """Seconds from `make run` to the address of the sign-in page; then it is stopped as by Ctrl-C."""
    began = time.monotonic()
    process = subprocess.Popen(
        ["make", "run"], cwd=clone, env=env | {"PORT": str(free_port())}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said: list[str] = []
    took = 0.0
    for line in process.stdout:
        said.append(line)
        if GREETING in line:
            took = time.monotonic() - began
            os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=LIMIT)
    if not took:
        raise RuntimeError("".join(said[-20:]))
    return round(took, 1)


def _git(clone: Path, *words: str) -> str:
    ran = subprocess.run(["git", "-C", str(clone), *words], capture_output=True, text=True, check=True)
    return re.sub(r"\s+", " ", ran.stdout).strip()
