"""The SQLite file a simulated cloud lives in."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY_SECONDS = 60.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS worlds (
    world TEXT PRIMARY KEY, seed INTEGER NOT NULL, clock_offset REAL NOT NULL DEFAULT 0, frozen_at REAL,
    serial INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS nodes (
    world TEXT NOT NULL, name TEXT NOT NULL, vcpus INTEGER NOT NULL, memory_mib INTEGER NOT NULL,
    disk_gib INTEGER NOT NULL, zone TEXT NOT NULL, rack TEXT NOT NULL, health TEXT NOT NULL DEFAULT 'healthy',
    vcpus_used INTEGER NOT NULL DEFAULT 0, memory_mib_used INTEGER NOT NULL DEFAULT 0,
    disk_gib_used INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (world, name),
    CHECK (vcpus_used BETWEEN 0 AND vcpus), CHECK (memory_mib_used BETWEEN 0 AND memory_mib),
    CHECK (disk_gib_used BETWEEN 0 AND disk_gib)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gpus (
    world TEXT NOT NULL, node TEXT NOT NULL, pci_address TEXT NOT NULL, uuid TEXT NOT NULL,
    vendor TEXT NOT NULL, model TEXT NOT NULL, memory_mib INTEGER NOT NULL, numa_node INTEGER NOT NULL,
    health TEXT NOT NULL DEFAULT 'healthy', machine TEXT,
    PRIMARY KEY (world, node, pci_address)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS gpus_of_machine ON gpus (world, machine);
CREATE TABLE IF NOT EXISTS machines (
    id INTEGER PRIMARY KEY, world TEXT NOT NULL, name TEXT NOT NULL, installation TEXT NOT NULL,
    resource_id TEXT NOT NULL, fence INTEGER NOT NULL, node TEXT NOT NULL, vcpus INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL, disk_gib INTEGER NOT NULL, next_vcpus INTEGER NOT NULL,
    next_memory_mib INTEGER NOT NULL, hostname TEXT NOT NULL, login TEXT NOT NULL, address TEXT NOT NULL,
    is_on INTEGER NOT NULL, settled_at REAL NOT NULL, booted_at REAL NOT NULL, created_at REAL NOT NULL,
    removing_at REAL, gone_at REAL, failure TEXT NOT NULL DEFAULT '', reclaimed INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX IF NOT EXISTS one_machine_per_name ON machines (world, name) WHERE gone_at IS NULL;
CREATE INDEX IF NOT EXISTS machines_gone ON machines (world, gone_at);
CREATE INDEX IF NOT EXISTS machines_removing ON machines (world, removing_at)
    WHERE removing_at IS NOT NULL AND gone_at IS NULL;
CREATE TABLE IF NOT EXISTS engines (
    id INTEGER PRIMARY KEY, world TEXT NOT NULL, name TEXT NOT NULL, installation TEXT NOT NULL,
    resource_id TEXT NOT NULL, fence INTEGER NOT NULL, created_at REAL NOT NULL, loaded_at REAL NOT NULL,
    removing_at REAL, exited INTEGER NOT NULL DEFAULT 0, is_silent INTEGER NOT NULL DEFAULT 0,
    noticed INTEGER NOT NULL DEFAULT 0, reclaimed INTEGER NOT NULL DEFAULT 0,
    open INTEGER NOT NULL DEFAULT 0, failure TEXT NOT NULL DEFAULT '', UNIQUE (world, name));
CREATE TABLE IF NOT EXISTS snapshots (
    world TEXT NOT NULL, machine TEXT NOT NULL, name TEXT NOT NULL, created_at REAL NOT NULL,
    disk_gib INTEGER NOT NULL, PRIMARY KEY (world, machine, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY, world TEXT NOT NULL, kind TEXT NOT NULL, method TEXT NOT NULL,
    machine TEXT NOT NULL, times INTEGER, skip INTEGER NOT NULL DEFAULT 0, seconds REAL NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT 'transient', message TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS loads (
    world TEXT NOT NULL, machine TEXT NOT NULL, cpu REAL NOT NULL, memory REAL NOT NULL, gpus TEXT NOT NULL,
    PRIMARY KEY (world, machine)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS effects (
    world TEXT NOT NULL, method TEXT NOT NULL, machine TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (world, method, machine)) WITHOUT ROWID;
"""

_abandoned: list[object] = []  # connections inherited by a fork: closing them here would hurt the parent


class Store:
    """Connections to the file, one for each thread of each process."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._mine = threading.local()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other writer interrupts; undone by any exception."""
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def reading(self) -> sqlite3.Connection:
        """For single statements that change nothing."""
        return self._connection()

    def close(self) -> None:
        """Close this thread's connection; the next use opens another."""
        connection = getattr(self._mine, "connection", None)
        if connection is not None and self._mine.pid == os.getpid():
            connection.close()
        self._mine = threading.local()

    def _connection(self) -> sqlite3.Connection:
        if getattr(self._mine, "pid", None) != os.getpid():  # a connection must not cross a fork
            _abandoned.append(getattr(self._mine, "connection", None))
            self._mine.connection = self._open()
            self._mine.pid = os.getpid()
        connection: sqlite3.Connection = self._mine.connection
        return connection

    def _open(self) -> sqlite3.Connection:
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = OFF")  # a simulation need not survive a power cut
        deadline = time.monotonic() + BUSY_SECONDS
        while True:  # switching to WAL does not wait for other processes by itself
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
            except sqlite3.OperationalError:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if time.monotonic() > deadline:
                    connection.close()
                    raise
                time.sleep(0.02)
            else:
                return connection
