"""The embedded servers: they start anew, keep their data, end with their run and spare strangers."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from runner import paths, services
from runner.processes import Identity, identify, is_alive
from runner.services import Services


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder that the service account may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="test-", dir=paths.scratch()))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _dead() -> Identity:
    """A process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = identify(process.pid)
    process.communicate(b"\n", timeout=60)
    return identity


def _connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url, autocommit=True, connect_timeout=30)


def test_data_and_ports_outlive_a_restart(base: Path):
    first = Services(base / "x", quick=True, dies_by_us=True, wanted=("postgres",))
    first.start()
    with _connect(first.environment["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    first.stop()
    second = Services(base / "x", quick=True, dies_by_us=True, wanted=("postgres",))
    second.start()
    try:
        with _connect(second.environment["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    finally:
        second.stop()


def test_a_server_that_died_is_started_again(base: Path):
    running = Services(base / "x", quick=True, dies_by_us=True, wanted=("valkey",))
    running.start()
    try:
        before = running.identities["valkey"]
        os.kill(before.pid, 9)
        os.waitpid(before.pid, 0)
        running.revive()
        assert running.identities["valkey"] != before
        assert redis.Redis.from_url(running.environment["REDIS_URL"]).ping()
    finally:
        running.stop()


def test_what_a_killed_run_left_is_ended_and_removed(base: Path):
    left = Services(base / "suite-x", quick=True, dies_by_us=True, wanted=("valkey",))
    left.start()
    record = left.folder / services.RECORD
    content, identities = services.recorded(record)
    services.write_json(record, content | {"owner": _dead().as_json()})
    services.remove_leftovers(base, "suite-")
    assert not left.folder.exists()
    assert not is_alive(identities["valkey"])


def test_a_run_that_goes_on_is_left_alone(base: Path):
    running = Services(base / "suite-x", quick=True, dies_by_us=True, wanted=("valkey",))
    running.start()
    try:
        services.remove_leftovers(base, "suite-")
        assert is_alive(running.identities["valkey"])
    finally:
        running.stop()


def test_a_stranger_with_a_recorded_number_is_spared(base: Path):
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        identity = identify(stranger.pid)
        services.stop_processes({"valkey": Identity(identity.pid, identity.started - 1)})
        assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n", timeout=60)
