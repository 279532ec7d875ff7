"""Loaded by pytest before anything of Django: tells the test process where its services are."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent.parent
PROFILE = os.environ.get("HOSTEDAI_TEST_PROFILE", "default")
RECORD = Path(os.environ.get("HOSTEDAI_SERVICES") or ROOT / "var" / f"test-{PROFILE}" / "services.json")
REPORT = os.environ.get("HOSTEDAI_SUITE_REPORT", "")
NO_SERVICES = f"no services for the tests: run `HOSTEDAI_TEST_PROFILE={PROFILE} make services` or `make test`"


def services() -> dict[str, Any] | None:
    """What the runner wrote down about the running services; None when it did not."""
    try:
        found: dict[str, Any] = json.loads(RECORD.read_text())
    except (OSError, ValueError):
        return None
    return found


def _redis_database() -> int:
    """Each worker of a run has a numbered Redis database to itself."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return int(worker.removeprefix("gw")) + 1 if worker else 0


def _prepare() -> None:
    known = services() or {"environment": {}, "folder": str(ROOT / "var" / "test-none")}
    for name in ("DATABASE_URL", "REDIS_URL", "DB_SCOPE", "SECRET_KEY"):
        os.environ.pop(name, None)
    os.environ.update(known["environment"])
    os.environ["DB_SCOPE"] = "*"
    os.environ["HOSTEDAI_LEASH"] = str(os.getpid())  # engines end with this process, however it ends
    os.environ["HOSTEDAI_VAR"] = str(Path(known["folder"]) / "files")
    os.environ["DJANGO_SETTINGS_MODULE"] = "hostedai.settings.test"
    if "REDIS_URL" in os.environ:
        os.environ["REDIS_URL"] = os.environ["REDIS_URL"].rpartition("/")[0] + f"/{_redis_database()}"


_prepare()


class _Report:
    """Writes how the run ended for the suite, which adds several runs up."""

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any, exitstatus: int) -> None:
        stats = terminalreporter.stats
        counted = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
        Path(REPORT).write_text(
            json.dumps(
                {
                    "exit": int(exitstatus),
                    "counts": {name: len(stats.get(name, ())) for name in counted},
                    "failed": sorted({r.nodeid for n in ("failed", "error") for r in stats.get(n, ())}),
                    "skipped": sorted({_reason(r) for r in stats.get("skipped", ())}),
                }
            )
        )


def _reason(report: Any) -> str:
    """Why a test was skipped, in one line."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return f"{report.nodeid}: {text}"


class _Scheduling(LoadScopeScheduling):
    """A test goes to whichever worker is free; those that share a costly start go to one, and go first."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/e2e/"):
            return "browser"
        return "hypervisor" if "libvirt" in nodeid else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    """Distribute tests by what they start."""
    return _Scheduling(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Only the process that prints the summary reports."""
    if REPORT and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Report())
