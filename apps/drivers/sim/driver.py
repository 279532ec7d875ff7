"""The driver of a simulated cloud."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import ClassVar

from apps.drivers.base import (
    CanReboot,
    CanResize,
    CanStop,
    Checked,
    ComputeDriver,
    Console,
    Counters,
    GpuInfo,
    HasConsole,
    HasInventory,
    HasMetrics,
    HasSnapshots,
    Health,
    Inventory,
    Listing,
    MachineSpec,
    Observed,
    Power,
    SnapshotRef,
)
from apps.drivers.configs import SimConfig
from apps.drivers.errors import BadCredentials, DriverError, NoCapacity, Rejected, Transient
from apps.drivers.sim.console import SimConsole
from apps.drivers.sim.engines import SimEngines
from apps.drivers.sim.mapping import counters_of, gpu_of, host_key_of, node_of, power_of, ref_of
from apps.drivers.sim.world import ArmedFault, Fault, World

NEVER = 1e15  # a moment that does not come
ERRORS: dict[str, type[DriverError]] = {
    "transient": Transient,
    "no_capacity": NoCapacity,
    "rejected": Rejected,
    "bad_credentials": BadCredentials,
}


class SimDriver(
    SimEngines,
    ComputeDriver,
    CanStop,
    CanReboot,
    CanResize,
    HasSnapshots,
    HasConsole,
    HasMetrics,
    HasInventory,
):
    """Machines that exist only in a world file, but behave like others do, failures included."""

    kind: ClassVar[str] = "sim"

    def __init__(self, config: SimConfig) -> None:
        self.config = config
        self.world = World(config)
        self._name = config.world

    def close(self) -> None:
        self.world.close()

    def check(self) -> Checked:
        with self._call("check"):
            nodes = self._rows("SELECT name FROM nodes WHERE world = ?")
            return Checked(version="sim 1", detail=f"{len(nodes)} simulated nodes in world “{self._name}”")

    def observe(self, name: str) -> Observed | None:
        with self._call("observe", name):
            row = self._find(self.world.store.reading(), name)
            now = self.world.now()
            if row is None or (row["removing_at"] is not None and row["removing_at"] <= now):
                return None
            return self._observed(row, now)

    def create(self, spec: MachineSpec) -> None:
        with self._call("create", spec.name) as faults, self.world.writing() as (db, now):
            row = self._find(db, spec.name)
            if row is not None:
                self._adopt(db, row, spec)
                return
            never = any(fault.kind is Fault.BOOT_FAILURE for fault in faults)
            self._build(db, spec, now, booted_at=NEVER if never else now + self.config.boot_seconds)
            self.world.count_effect(db, "create", spec.name)

    def delete(self, name: str) -> None:
        with self._call("delete", name), self.world.writing() as (db, now):
            row = self._find(db, name)
            if row is None or row["removing_at"] is not None:
                return
            self._require_ours(row)
            gone = now + self.config.delete_seconds
            values = (now, gone, row["id"])
            db.execute("UPDATE machines SET is_on = 0, settled_at = ?, removing_at = ? WHERE id = ?", values)
            self.world.count_effect(db, "delete", name)

    def list_machines(self) -> Listing:
        with self._call("list_machines") as faults:
            now = self.world.now()
            moment, kinds = now, {fault.kind for fault in faults}
            for fault in faults:
                if fault.kind is Fault.STALE_LIST:
                    moment = now - fault.seconds
            statement = "SELECT * FROM machines WHERE world = ? AND created_at <= ? AND installation != ''"
            statement += " AND coalesce(gone_at, removing_at, ?) > ? ORDER BY id"
            rows = self._rows(statement, moment, NEVER, moment)
            if Fault.EMPTY_LIST in kinds:
                return Listing(())
            if Fault.PARTIAL_LIST in kinds:
                return Listing(tuple(map(ref_of, rows[: len(rows) // 2])), is_complete=False)
            return Listing(tuple(map(ref_of, rows)))

    def stop(self, name: str, *, force: bool = False) -> None:
        with self._call("stop", name), self.world.writing() as (db, now):
            row = self._must_find(db, name)
            settled = now if force else now + self.config.stop_seconds
            if not row["is_on"] and row["settled_at"] <= settled:
                return
            db.execute("UPDATE machines SET is_on = 0, settled_at = ? WHERE id = ?", (settled, row["id"]))
            self.world.count_effect(db, "stop", name)

    def start(self, name: str) -> None:
        with self._call("start", name) as faults, self.world.writing() as (db, now):
            row = self._must_find(db, name)
            if row["is_on"]:
                return
            self._require_node(db, row["node"])
            never = any(fault.kind is Fault.BOOT_FAILURE for fault in faults)
            spare_vcpus = row["next_vcpus"] - max(row["vcpus"], row["next_vcpus"])
            spare_memory = row["next_memory_mib"] - max(row["memory_mib"], row["next_memory_mib"])
            self.world.take_room(db, row["node"], spare_vcpus, spare_memory, 0)
            statement = (
                "UPDATE machines SET is_on = 1, settled_at = ?, booted_at = ?, failure = '', reclaimed = 0,"
            )
            statement += " vcpus = next_vcpus, memory_mib = next_memory_mib WHERE id = ?"
            booted = NEVER if never else now + self.config.boot_seconds
            db.execute(statement, (now, booted, row["id"]))
            self.world.count_effect(db, "start", name)

    def reboot(self, name: str, *, force: bool = False) -> None:
        with self._call("reboot", name), self.world.writing() as (db, now):
            row = self._must_find(db, name)
            if not row["is_on"]:
                raise Rejected("A stopped machine cannot be restarted; start it.")
            booted = now + self.config.boot_seconds
            statement = "UPDATE machines SET settled_at = ?, booted_at = ?, failure = '' WHERE id = ?"
            db.execute(statement, (now, booted, row["id"]))
            self.world.count_effect(db, "reboot", name)

    def resize(self, name: str, *, vcpus: int, memory_mib: int, disk_gib: int) -> None:
        with self._call("resize", name), self.world.writing() as (db, _):
            row = self._must_find(db, name)
            if disk_gib < row["disk_gib"]:
                raise Rejected("A disk cannot be made smaller.")
            asked = (vcpus, memory_mib, disk_gib)
            if asked == (row["next_vcpus"], row["next_memory_mib"], row["disk_gib"]):
                return
            now_vcpus, now_memory = (row["vcpus"], row["memory_mib"]) if row["is_on"] else (vcpus, memory_mib)
            more_vcpus = max(now_vcpus, vcpus) - max(row["vcpus"], row["next_vcpus"])
            more_memory = max(now_memory, memory_mib) - max(row["memory_mib"], row["next_memory_mib"])
            self._take_room(db, row["node"], more_vcpus, more_memory, disk_gib - row["disk_gib"])
            statement = "UPDATE machines SET vcpus = ?, memory_mib = ?, next_vcpus = ?, next_memory_mib = ?,"
            statement += " disk_gib = ? WHERE id = ?"
            db.execute(statement, (now_vcpus, now_memory, *asked, row["id"]))
            self.world.count_effect(db, "resize", name)

    def create_snapshot(self, name: str, snapshot: str) -> None:
        with self._call("create_snapshot", name), self.world.writing() as (db, now):
            row = self._must_find(db, name)
            statement = "INSERT OR IGNORE INTO snapshots VALUES (?, ?, ?, ?, ?)"
            db.execute(statement, (self._name, name, snapshot, now, row["disk_gib"]))
            self.world.count_effect(db, "create_snapshot", name)

    def list_snapshots(self, name: str) -> tuple[SnapshotRef, ...]:
        with self._call("list_snapshots", name):
            self._must_find(self.world.store.reading(), name)
            rows = self._rows(
                "SELECT * FROM snapshots WHERE world = ? AND machine = ? ORDER BY created_at, name", name
            )
            return tuple(SnapshotRef(row["name"], row["created_at"], row["disk_gib"] << 27) for row in rows)

    def delete_snapshot(self, name: str, snapshot: str) -> None:
        with self._call("delete_snapshot", name), self.world.writing() as (db, _):
            statement = "DELETE FROM snapshots WHERE world = ? AND machine = ? AND name = ?"
            if db.execute(statement, (self._name, name, snapshot)).rowcount:
                self.world.count_effect(db, "delete_snapshot", name)

    def restore_snapshot(self, name: str, snapshot: str) -> None:
        with self._call("restore_snapshot", name), self.world.writing() as (db, now):
            row = self._must_find(db, name)
            if row["is_on"] or row["settled_at"] > now:
                raise Rejected("Stop the machine before you restore a snapshot.")
            statement = "SELECT 1 FROM snapshots WHERE world = ? AND machine = ? AND name = ?"
            if db.execute(statement, (self._name, name, snapshot)).fetchone() is None:
                raise Rejected("There is no such snapshot.")
            self.world.count_effect(db, "restore_snapshot", name)

    def open_console(self, name: str) -> Console:
        with self._call("open_console", name):
            row = self._must_find(self.world.store.reading(), name)
            if not row["is_on"]:
                raise Rejected("The machine does not run.")
            gpus = [gpu["model"] for gpu in self._gpus_of(name)]
            started = row["settled_at"]
            return SimConsole(row, gpus, clock=self.world.now, is_on=lambda: self._is_on(name, started))

    def counters(self, name: str) -> Counters | None:
        with self._call("counters", name):
            row = self._must_find(self.world.store.reading(), name)
            self._require_node(self.world.store.reading(), row["node"])
            now = self.world.now()
            if not row["is_on"] or row["settled_at"] > now:
                return None
            loads = self._rows("SELECT * FROM loads WHERE world = ? AND machine = ?", name)
            return counters_of(row, now, cards=len(self._gpus_of(name)), load=loads[0] if loads else None)

    def inventory(self) -> Inventory:
        with self._call("inventory") as faults:
            gpus: dict[str, list[GpuInfo]] = {}
            for row in self._rows("SELECT * FROM gpus WHERE world = ? ORDER BY node, pci_address"):
                gpus.setdefault(row["node"], []).append(gpu_of(row))
            rows = self._rows("SELECT * FROM nodes WHERE world = ? ORDER BY name")
            if any(fault.kind is Fault.PARTIAL_LIST for fault in faults):
                rows = rows[: len(rows) // 2]
                return Inventory(tuple(node_of(row, gpus) for row in rows), is_complete=False)
            return Inventory(tuple(node_of(row, gpus) for row in rows))

    @contextmanager
    def _call(self, method: str, machine: str = "") -> Iterator[list[ArmedFault]]:
        """One call as the network makes it: latency, then faults, then the effect, then perhaps no answer."""
        if self.config.latency_ms:
            time.sleep(self.config.latency_ms / 1000)
        faults: list[ArmedFault] = []
        try:
            if self._rows("SELECT 1 FROM faults WHERE world = ? LIMIT 1"):
                with self.world.store.writing() as db:
                    faults = self.world.take_faults(db, method, machine)
            _suffer(faults)
            yield faults
        except sqlite3.Error as error:
            raise Transient("The simulated cloud is busy.", detail=str(error)) from error
        if any(fault.kind is Fault.LOST_REPLY for fault in faults):
            raise Transient("The answer was lost.", detail=f"{method}({machine}): lost reply injected")

    def _rows(self, statement: str, *values: object) -> list[sqlite3.Row]:
        return self.world.store.reading().execute(statement, (self._name, *values)).fetchall()

    def _find(self, db: sqlite3.Connection, name: str) -> sqlite3.Row | None:
        statement = "SELECT * FROM machines WHERE world = ? AND name = ? AND gone_at IS NULL"
        row: sqlite3.Row | None = db.execute(statement, (self._name, name)).fetchone()
        return row

    def _must_find(self, db: sqlite3.Connection, name: str) -> sqlite3.Row:
        row = self._find(db, name)
        if row is None or row["removing_at"] is not None:
            raise Rejected("There is no such machine.", detail=f"no machine {name} in world {self._name}")
        self._require_ours(row)
        return row

    def _is_on(self, name: str, started: float) -> bool:
        row = self._find(self.world.store.reading(), name)
        return row is not None and bool(row["is_on"]) and row["settled_at"] == started

    def _require_ours(self, row: sqlite3.Row) -> None:
        if not row["installation"]:
            raise Rejected(
                "A machine of that name exists which is not ours.", detail=f"{row['name']} has no tag"
            )

    def _require_node(self, db: sqlite3.Connection, node: str) -> None:
        statement = "SELECT health FROM nodes WHERE world = ? AND name = ?"
        row = db.execute(statement, (self._name, node)).fetchone()
        if row is None:
            raise Rejected("There is no such host.", detail=f"no node {node} in world {self._name}")
        if row["health"] == Health.FAILED:
            raise Transient("The host does not answer.", detail=f"node {node} has failed")

    def _adopt(self, db: sqlite3.Connection, row: sqlite3.Row, spec: MachineSpec) -> None:
        self._require_ours(row)
        if row["removing_at"] is not None:
            raise Transient("The machine is being removed.")
        db.execute("UPDATE machines SET fence = max(fence, ?) WHERE id = ?", (spec.fence, row["id"]))

    def _build(self, db: sqlite3.Connection, spec: MachineSpec, now: float, *, booted_at: float) -> None:
        node = spec.node or self._choose_node(db, spec)
        self._require_node(db, node)
        self._take_room(db, node, spec.vcpus, spec.memory_mib, spec.disk_gib)
        for address in spec.pci_addresses:
            statement = "UPDATE gpus SET machine = ? WHERE world = ? AND node = ? AND pci_address = ?"
            statement += " AND machine IS NULL"
            if db.execute(statement, (spec.name, self._name, node, address)).rowcount != 1:
                raise NoCapacity("The GPU is in use.", detail=f"{address} on {node} is not free or not there")
        size = (spec.vcpus, spec.memory_mib, spec.disk_gib, spec.vcpus, spec.memory_mib)
        identity = (self._name, spec.name, spec.installation, spec.resource_id, spec.fence, node)
        address, hostname = self.world.next_address(db), spec.hostname or spec.name
        columns = (
            "world, name, installation, resource_id, fence, node, vcpus, memory_mib, disk_gib, next_vcpus,"
        )
        columns += " next_memory_mib, hostname, login, address, is_on, settled_at, booted_at, created_at"
        values = (*identity, *size, hostname, spec.user, address, 1, now, booted_at, now)
        db.execute(f"INSERT INTO machines ({columns}) VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608

    def _choose_node(self, db: sqlite3.Connection, spec: MachineSpec) -> str:
        statement = (
            "SELECT name FROM nodes WHERE world = ? AND health = 'healthy' AND vcpus - vcpus_used >= ?"
        )
        statement += " AND memory_mib - memory_mib_used >= ? AND disk_gib - disk_gib_used >= ? ORDER BY name"
        values = (self._name, spec.vcpus, spec.memory_mib, spec.disk_gib)
        fitting = [row["name"] for row in db.execute(statement, values)]
        if not fitting:
            raise NoCapacity("No host has room for this machine.")
        chosen: str = Random(f"{self.config.seed}/{spec.name}").choice(fitting)  # noqa: S311 - repeatable on purpose
        return chosen

    def _take_room(
        self, db: sqlite3.Connection, node: str, vcpus: int, memory_mib: int, disk_gib: int
    ) -> None:
        try:
            self.world.take_room(db, node, vcpus, memory_mib, disk_gib)
        except sqlite3.IntegrityError as error:
            raise NoCapacity("The host has no room for this machine.", detail=f"{node}: {error}") from error

    def _gpus_of(self, name: str) -> list[sqlite3.Row]:
        return self._rows("SELECT * FROM gpus WHERE world = ? AND machine = ? ORDER BY pci_address", name)

    def _observed(self, row: sqlite3.Row, now: float) -> Observed:
        statement = "SELECT health FROM nodes WHERE world = ? AND name = ?"
        health = [node["health"] for node in self._rows(statement, row["node"])]
        power, failure, is_lost = power_of(row, now), row["failure"], health == [Health.FAILED]
        if is_lost and power is Power.RUNNING:
            power, failure = Power.CHANGING, "The host of this machine does not answer."
        return Observed(
            power=power,
            installation=row["installation"],
            resource_id=row["resource_id"],
            fence=row["fence"],
            node=row["node"],
            address=row["address"],
            host_key=host_key_of(row["name"], row["created_at"]),
            booted=power is Power.RUNNING and row["booted_at"] <= now,
            vcpus=row["vcpus"],
            memory_mib=row["memory_mib"],
            disk_gib=row["disk_gib"],
            pci_addresses=tuple(gpu["pci_address"] for gpu in self._gpus_of(row["name"])),
            reclaimed=bool(row["reclaimed"]),
            failure=failure,
        )


def _suffer(faults: list[ArmedFault]) -> None:
    for fault in faults:
        if fault.kind is Fault.HANG:
            time.sleep(fault.seconds)
        elif fault.kind is Fault.OUTAGE:
            raise Transient(fault.message or "The cloud does not answer.", detail="outage injected")
        elif fault.kind is Fault.REFUSED:
            raise ERRORS[fault.error](fault.message or "The cloud refused.", detail="refusal injected")
