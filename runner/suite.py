"""Runs the whole suite against services of its own and leaves nothing behind.

Two phases, each on two workers: what lives in transactions of its own, then what commits, kills and boots
(`serial`), which a transaction that another test holds open for long would keep waiting.
A test that failed beside others is run once more alone; when it passes then, the run passes and the test is
named as flaky.
"""

import json
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner import bootstrap, paths
from runner.console import say, show
from runner.interrupts import Interrupted, interruptible
from runner.processes import adopt_orphans, die_with_parent, end, end_children, identify, is_alive
from runner.services import Services, mark_as_mine, remove_leftovers

PREFIX = "suite-"
LIBVIRT_PREFIX = "libvirt-"
WORKERS = "2"
PHASE_SECONDS = 25 * 60
MOST_RERUN = 10
NOTHING_COLLECTED = 5
NOTHING: dict[str, Any] = {"counts": {}, "failed": [], "skipped": []}
KEPT = (
    "PATH",
    "TERM",
    "CI",
    "COLUMNS",
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "HOSTEDAI_NO_APT",
    "HYPOTHESIS_SEED",
)


@dataclass
class Outcome:
    """What the phases together came to."""

    counts: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    flaky: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def add(self, report: dict[str, Any]) -> None:
        """Add what one phase wrote down."""
        for name, number in report["counts"].items():
            self.counts[name] = self.counts.get(name, 0) + number
        self.failed += report["failed"]
        self.skipped += report["skipped"]

    def exit_code(self) -> int:
        """Zero only when tests ran and all passed."""
        if self.failed or self.broken:
            return 1
        return 0 if self.counts.get("passed") else NOTHING_COLLECTED


def _environment(folder: Path, report: Path, lacking: list[str]) -> dict[str, str]:
    """What tests see: nothing of the caller's settings, a home of their own."""
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    return env | {
        "HOME": str(paths.private_folder(folder / "home")),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "HOSTEDAI_SERVICES": str(folder / "services.json"),
        "HOSTEDAI_SUITE_REPORT": str(report),
        "HOSTEDAI_LACKING": " ".join(lacking),
    }


@dataclass
class Suite:
    """One run, in a folder of its own."""

    folder: Path
    lacking: list[str]
    arguments: list[str]
    services: Services
    outcome: Outcome = field(default_factory=Outcome)

    def phase(self, title: str, *options: str) -> dict[str, Any] | None:
        """Run pytest; None when it ended without a report, which is a failure of its own."""
        say(title)
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        command = [str(paths.python()), "-m", "pytest", "-o", f"cache_dir={self.folder / 'cache'}"]
        command += [
            f"--basetemp={self.folder / 'tmp'}",
            "--tb=short",
            "--durations=10",
            *self.arguments,
            *options,
        ]
        process = subprocess.Popen(
            command, cwd=paths.ROOT, env=_environment(self.folder, report, self.lacking),
            stdin=subprocess.DEVNULL, start_new_session=True, umask=0o022,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )  # fmt: skip
        identity = identify(process.pid)
        try:
            process.wait(timeout=PHASE_SECONDS)
        except subprocess.TimeoutExpired:
            self.outcome.broken.append(f"{title}: did not end within {PHASE_SECONDS // 60} minutes")
        finally:
            if identity:
                end(identity, patience=30, whole_group=True)
            end_children({service.pid for service in self.services.identities.values()})
        try:
            found: dict[str, Any] = json.loads(report.read_text())
        except (OSError, ValueError):
            self.outcome.broken.append(f"{title}: ended with {process.returncode} and no report")
            return None
        if process.returncode not in {0, 1, NOTHING_COLLECTED}:
            self.outcome.broken.append(f"{title}: pytest ended with {process.returncode}")
        return found

    def prepare(self) -> None:
        """Migrate the database that all tests copy; without it, the first of them does."""
        say("Migrating the tests' database")
        env = _environment(self.folder, self.folder / "report.json", self.lacking)
        subprocess.run(
            [str(paths.python()), "-m", "tests.database"], cwd=paths.ROOT, env=env, check=False,
            stdin=subprocess.DEVNULL, preexec_fn=die_with_parent(signal.SIGTERM),
        )  # fmt: skip

    def run(self) -> Outcome:
        """Both phases, whatever becomes of the first."""
        self.prepare()
        self.outcome.add(self._phase_and_again("Tests in transactions", "-m", "not serial"))
        whole = "Tests with a browser, machines, and processes that are killed"
        self.outcome.add(self._phase_and_again(whole, "-m", "serial", "--timeout=300"))
        return self.outcome

    def _phase_and_again(self, title: str, *options: str) -> dict[str, Any]:
        """A phase; what failed in it runs once more, alone and in a fresh process, and may heal."""
        first = self.phase(f"{title} ({WORKERS} workers)", *options, "-n", WORKERS)
        if first is None or not 0 < len(first["failed"]) <= MOST_RERUN or self.outcome.broken:
            return first or NOTHING
        once_more = f"Once more, alone: {len(first['failed'])} that failed"
        second = self.phase(once_more, "--lf", "--lfnf=none", *options, "-n0")
        if second is None or second["failed"] or second["counts"]["passed"] < len(first["failed"]):
            return first
        healed = first["failed"]
        passed = first["counts"]["passed"] + len(healed)
        counts = first["counts"] | {"failed": 0, "error": 0, "passed": passed}
        self.outcome.flaky += healed
        return first | {"counts": counts, "failed": []}


def _summary(outcome: Outcome, seconds: float) -> None:
    for title, lines in (
        ("skipped", outcome.skipped),
        ("FLAKY (failed, then passed when run again)", outcome.flaky),
        ("FAILED", outcome.failed),
        ("BROKEN", outcome.broken),
    ):
        for line in lines:
            show(f"{title}: {line}")
    counted = outcome.counts
    failed, errors = counted.get("failed", 0), counted.get("error", 0) + len(outcome.broken)
    parts = [f"{failed} failed"] if failed else []
    parts += [f"{counted.get('passed', 0)} passed"]
    parts += [f"{counted['skipped']} skipped"] if counted.get("skipped") else []
    parts += [f"{len(outcome.flaky)} rerun"] if outcome.flaky else []
    parts += [f"{errors} errors"] if errors else []
    show(f"=================== {', '.join(parts)} in {seconds:.2f}s ===================")


def _fresh_folder() -> Path:
    base = paths.scratch()
    for prefix in (PREFIX, LIBVIRT_PREFIX):
        remove_leftovers(base, prefix)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    mark_as_mine(folder)
    folder.chmod(0o755)
    return folder


def _keep_logs(folder: Path) -> None:
    """Copy the services' logs to var/log/suite before the folder goes."""
    target = paths.open_folder(paths.LOGS / "suite")
    for log in folder.glob("*/*.log"):
        shutil.copy(log, target / log.name)


def run(arguments: list[str], evidence: str = "") -> int:
    """Set up, run, tidy up; returns the exit code. With a name the outcome also goes to evidence/."""
    began = time.monotonic()
    adopt_orphans()
    with interruptible():
        try:
            lacking = bootstrap.everything(development=True, browser=True)
            folder = _fresh_folder()
            services = Services(folder, quick=True, dies_by_us=True)
            try:
                services.start()
                outcome = Suite(folder, lacking, arguments, services).run()
            finally:
                _tidy(folder, services)
        except Interrupted as interrupted:
            show(f"The run was ended by {interrupted}")
            return 130
    seconds = time.monotonic() - began
    _summary(outcome, seconds)
    if evidence:
        _tell(outcome, seconds, evidence)
    return outcome.exit_code()


def _tell(outcome: Outcome, seconds: float, name: str) -> None:
    told = {
        "name": name,
        "figures": {"seconds": round(seconds, 1), **outcome.counts},
        "failed": outcome.failed + outcome.broken,
        "flaky": outcome.flaky,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "kernel": platform.release()},
        "python": platform.python_version(),
    }
    (paths.open_folder(paths.ROOT / "evidence") / f"{name}.json").write_text(
        json.dumps(told, indent=2) + "\n"
    )


def _tidy(folder: Path, services: Services) -> None:
    services.stop()
    end_children(set())
    _keep_logs(folder)
    shutil.rmtree(folder, ignore_errors=True)
    if any(is_alive(identity) for identity in services.identities.values()):
        say("Some services would not end")
