"""The control desk of a simulated cloud: its clock, its faults, and what is really there.

Drivers, tests and the demo open the same world by naming the same file; all processes see one truth.
"""

import fnmatch
import json
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random

from apps.drivers.base import GpuUse, Health
from apps.drivers.configs import SimConfig, SimNodes
from apps.drivers.sim.schema import Store

REMEMBERED_SECONDS = 3600.0  # how long what is gone can still turn up in a stale listing

_prepared: set[SimConfig] = set()  # worlds whose nodes this process has put in place


class Fault(StrEnum):
    """What may go wrong in a call."""

    LOST_REPLY = "lost_reply"  # the effect happens, the caller is told `Transient`
    REFUSED = "refused"  # no effect; raises the error named by `error`
    HANG = "hang"  # the call takes `seconds` of real time, then goes on
    OUTAGE = "outage"  # like refused, for any method, with `Transient`
    BOOT_FAILURE = "boot_failure"  # create and start succeed, the machine never comes up
    PARTIAL_LIST = "partial_list"  # half of the machines, and says so
    STALE_LIST = "stale_list"  # as it was `seconds` ago, and does not say so
    EMPTY_LIST = "empty_list"  # nothing, and does not say so


@dataclass(frozen=True, slots=True)
class ArmedFault:
    kind: Fault
    seconds: float
    error: str
    message: str


class World:
    """One simulated cloud; made by the first to open it."""

    def __init__(self, config: SimConfig) -> None:
        self.config = config
        self.name = config.world
        self.store = Store(config.path)
        if config not in _prepared or not Path(config.path).exists():
            self._prepare()
            _prepared.add(config)

    def close(self) -> None:
        """Close this thread's connection to the file."""
        self.store.close()

    # The clock: real time plus an offset, or standing still.

    def now(self) -> float:
        """Virtual seconds since 1970."""
        return self._now(self.store.reading())

    def advance(self, seconds: float) -> float:
        """Let virtual time pass; returns the new time."""
        with self.store.writing() as db:
            statement = "UPDATE worlds SET clock_offset = clock_offset + ?, frozen_at = frozen_at + ?"
            db.execute(f"{statement} WHERE world = ?", (seconds, seconds, self.name))
        return self.now()

    def freeze(self) -> float:
        """Stop the clock, so that time passes by `advance` only."""
        with self.store.writing() as db:
            db.execute("UPDATE worlds SET frozen_at = ? WHERE world = ?", (self._now(db), self.name))
        return self.now()

    def thaw(self) -> None:
        """Let the clock run on from where it stood."""
        with self.store.writing() as db:
            offset = self._now(db) - time.time()
            values = (offset, self.name)
            db.execute("UPDATE worlds SET clock_offset = ?, frozen_at = NULL WHERE world = ?", values)

    # Faults: armed here, taken by the driver.

    def inject(
        self,
        kind: Fault,
        *,
        method: str = "*",
        machine: str = "*",
        times: int | None = 1,
        skip: int = 0,
        **how: float | str,
    ) -> int:
        """Arm a fault for calls whose method and machine match (shell patterns).

        The first `skip` matching calls pass; `times=None` holds until cleared.
        `how`: `seconds` (hang, stale_list), `error`
        (transient, no_capacity, rejected, bad_credentials), `message`.
        """
        values: tuple[object, ...] = (self.name, kind, method, machine, times, skip)
        values += (how.get("seconds", 0.0), how.get("error", "transient"), how.get("message", ""))
        statement = "INSERT INTO faults (world, kind, method, machine, times, skip, seconds, error, message)"
        with self.store.writing() as db:
            cursor = db.execute(f"{statement} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            return cursor.lastrowid or 0

    def clear(self, fault: int | None = None) -> None:
        """Disarm one fault, or all."""
        with self.store.writing() as db:
            db.execute("DELETE FROM faults WHERE world = ? AND id = coalesce(?, id)", (self.name, fault))

    def take_faults(self, db: sqlite3.Connection, method: str, machine: str) -> list[ArmedFault]:
        """The faults that hit this call; each counts as used."""
        taken = []
        for row in db.execute("SELECT * FROM faults WHERE world = ? ORDER BY id", (self.name,)).fetchall():
            if not (fnmatch.fnmatch(method, row["method"]) and fnmatch.fnmatch(machine, row["machine"])):
                continue
            if row["skip"]:
                db.execute("UPDATE faults SET skip = skip - 1 WHERE id = ?", (row["id"],))
                continue
            if row["times"] is not None:
                db.execute("UPDATE faults SET times = times - 1 WHERE id = ?", (row["id"],))
                db.execute("DELETE FROM faults WHERE id = ? AND times <= 0", (row["id"],))
            taken.append(ArmedFault(Fault(row["kind"]), row["seconds"], row["error"], row["message"]))
        return taken

    # Events that nobody asked for.

    def reclaim(self, machine: str) -> None:
        """Take a machine away as a spot market does: its power is cut and it says why."""
        self._mark(machine, failure="The provider took this machine back.", reclaimed=1)

    def crash(self, machine: str, why: str = "The machine crashed.") -> None:
        """Cut a machine's power."""
        self._mark(machine, failure=why, reclaimed=0)

    def set_node_health(self, node: str, health: Health) -> None:
        """A FAILED node answers nothing: its machines cannot be observed as running."""
        with self.store.writing() as db:
            db.execute("UPDATE nodes SET health = ? WHERE world = ? AND name = ?", (health, self.name, node))

    def plant(self, machine: str) -> None:
        """Put a machine of somebody else here: it carries no tag."""
        statement = (
            "INSERT INTO machines (world, name, installation, resource_id, fence, node, vcpus, memory_mib,"
        )
        statement += " disk_gib, next_vcpus, next_memory_mib, hostname, login, address, is_on, settled_at,"
        statement += " booted_at, created_at)"
        statement += " VALUES (?, ?, '', '', 0, '', 1, 512, 1, 1, 512, ?, '', ?, 1, ?, ?, ?)"
        with self.writing() as (db, now):
            db.execute(statement, (self.name, machine, machine, self.next_address(db), now, now, now))

    def set_load(self, machine: str, *, cpu: float, memory: float, gpus: Sequence[GpuUse] = ()) -> None:
        """What the machine uses from now on: shares (0 to 1) of processors and memory, and of each card."""
        used = json.dumps([(one.busy, one.memory) for one in gpus])
        with self.store.writing() as db:
            statement = (
                "INSERT OR REPLACE INTO loads (world, machine, cpu, memory, gpus) VALUES (?, ?, ?, ?, ?)"
            )
            db.execute(statement, (self.name, machine, cpu, memory, used))

    # The truth, for oracles.

    def machine_names(self) -> list[str]:
        """Every machine that exists, tagged or not."""
        statement = "SELECT name FROM machines WHERE world = ? AND gone_at IS NULL"
        statement += " AND (removing_at IS NULL OR removing_at > ?) ORDER BY name"
        return [row["name"] for row in self.store.reading().execute(statement, (self.name, self.now()))]

    def effect_count(self, method: str, machine: str = "*") -> int:
        """How often a method really changed something."""
        statement = "SELECT machine, count FROM effects WHERE world = ? AND method = ?"
        rows = self.store.reading().execute(statement, (self.name, method))
        return sum(row["count"] for row in rows if fnmatch.fnmatch(row["machine"], machine))

    def gpu_holders(self) -> dict[tuple[str, str], str]:
        """(node, PCI address) → machine, for every GPU in use."""
        statement = "SELECT node, pci_address, machine FROM gpus WHERE world = ? AND machine IS NOT NULL"
        rows = self.store.reading().execute(statement, (self.name,))
        return {(row["node"], row["pci_address"]): row["machine"] for row in rows}

    # For the driver.

    @contextmanager
    def writing(self) -> Iterator[tuple[sqlite3.Connection, float]]:
        """A transaction and the virtual time; what has gone by then is cleared away first."""
        with self.store.writing() as db:
            now = self._now(db)
            self._clear_gone(db, now)
            yield db, now

    def count_effect(self, db: sqlite3.Connection, method: str, machine: str) -> None:
        """Remember that a method changed something."""
        statement = "INSERT INTO effects VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1"
        db.execute(statement, (self.name, method, machine))

    def next_address(self, db: sqlite3.Connection) -> str:
        """An address that no other machine of this world has had."""
        statement = "UPDATE worlds SET serial = serial + 1 WHERE world = ? RETURNING serial"
        serial = db.execute(statement, (self.name,)).fetchone()["serial"]
        return f"10.{100 + serial // 62500 % 100}.{serial // 250 % 250}.{serial % 250 + 1}"

    def _now(self, db: sqlite3.Connection) -> float:
        statement = "SELECT clock_offset, frozen_at FROM worlds WHERE world = ?"
        row = db.execute(statement, (self.name,)).fetchone()
        return float(row["frozen_at"] if row["frozen_at"] is not None else time.time() + row["clock_offset"])

    def _mark(self, machine: str, *, failure: str, reclaimed: int) -> None:
        with self.writing() as (db, now):
            statement = "UPDATE machines SET is_on = 0, settled_at = ?, failure = ?, reclaimed = ?"
            statement += " WHERE world = ? AND name = ? AND removing_at IS NULL"
            db.execute(statement, (now, failure, reclaimed, self.name, machine))

    def _clear_gone(self, db: sqlite3.Connection, now: float) -> None:
        statement = "SELECT * FROM machines WHERE world = ? AND gone_at IS NULL AND removing_at <= ?"
        for row in db.execute(statement, (self.name, now)).fetchall():
            db.execute("UPDATE machines SET gone_at = removing_at WHERE id = ?", (row["id"],))
            db.execute("DELETE FROM snapshots WHERE world = ? AND machine = ?", (self.name, row["name"]))
            db.execute(
                "UPDATE gpus SET machine = NULL WHERE world = ? AND machine = ?", (self.name, row["name"])
            )
            vcpus = max(row["vcpus"], row["next_vcpus"])
            memory = max(row["memory_mib"], row["next_memory_mib"])
            self.take_room(db, row["node"], -vcpus, -memory, -row["disk_gib"])
        forgotten = now - REMEMBERED_SECONDS
        db.execute("DELETE FROM machines WHERE world = ? AND gone_at < ?", (self.name, forgotten))

    def take_room(
        self, db: sqlite3.Connection, node: str, vcpus: int, memory_mib: int, disk_gib: int
    ) -> None:
        """Use (or give back) room on a node; sqlite3.IntegrityError when there is not enough."""
        statement = "UPDATE nodes SET vcpus_used = vcpus_used + ?, memory_mib_used = memory_mib_used + ?,"
        statement += " disk_gib_used = disk_gib_used + ? WHERE world = ? AND name = ?"
        db.execute(statement, (vcpus, memory_mib, disk_gib, self.name, node))

    def _prepare(self) -> None:
        with self.store.writing() as db:
            values = (self.name, self.config.seed)
            db.execute("INSERT OR IGNORE INTO worlds (world, seed) VALUES (?, ?)", values)
            for group in self.config.nodes:
                self._add_nodes(db, group)

    def _add_nodes(self, db: sqlite3.Connection, group: SimNodes) -> None:
        dice = Random(f"{self.config.seed}/{self.name}/{group.prefix}")  # noqa: S311 - repeatable on purpose
        nodes, gpus = [], []
        for number in range(1, group.count + 1):
            node = f"{group.prefix}-{number:02d}"
            size = (group.vcpus, group.memory_gib * 1024, group.disk_gib)
            nodes.append((self.name, node, *size, group.zone, group.rack))
            for index in range(group.gpus):
                numa = index * 2 // group.gpus
                address = f"0000:{0x10 + index * 3:02x}:00.0"
                serial = f"GPU-{uuid.UUID(int=dice.getrandbits(128), version=4)}"
                memory = group.gpu_memory_gib * 1024
                gpus.append(
                    (self.name, node, address, serial, group.gpu_vendor, group.gpu_model, memory, numa)
                )
        statement = "INSERT OR IGNORE INTO nodes (world, name, vcpus, memory_mib, disk_gib, zone, rack)"
        db.executemany(statement + " VALUES (?, ?, ?, ?, ?, ?, ?)", nodes)
        statement = "INSERT OR IGNORE INTO gpus (world, node, pci_address, uuid, vendor, model, memory_mib,"
        db.executemany(statement + " numa_node) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", gpus)
