"""Simulated engines: they answer nobody, but come, go and fail as others do."""

import sqlite3
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from random import Random
from typing import ClassVar

from apps.drivers.base import Listing
from apps.drivers.configs import SimConfig
from apps.drivers.engines import CanServe, Engine, EngineSpec, Phase
from apps.drivers.errors import Rejected, Transient
from apps.drivers.sim.mapping import ref_of
from apps.drivers.sim.world import ArmedFault, Fault, World

PORT_FROM = 20_000
TELLS_EVERY = 10  # virtual seconds between two lines about its load
TELLS_LAST = 60  # so many of them are shown


class SimEngines(CanServe):
    """The engines of a world; their names are apart from its machines'."""

    quick_seconds: ClassVar[float] = 0.0
    config: SimConfig
    world: World

    def _call(self, method: str, machine: str = "") -> AbstractContextManager[list[ArmedFault]]:
        raise NotImplementedError

    def observe_engine(self, name: str) -> Engine | None:
        with self._call("observe_engine", name):
            row = self._engine(self.world.store.reading(), name)
            now = self.world.now()
            if row is None or (row["removing_at"] is not None and row["removing_at"] <= now):
                return None
            phase = _phase(row, now)
            serves = row["loaded_at"] <= now
            return Engine(
                phase=phase,
                installation=row["installation"],
                resource_id=row["resource_id"],
                fence=row["fence"],
                url=f"http://127.0.0.1:{PORT_FROM + row['id']}" if serves else "",
                progress=1.0 if serves else 0.5,
                is_noticed=bool(row["noticed"]),
                is_reclaimed=bool(row["reclaimed"]),
                failure=row["failure"] or ("The engine does not answer." if phase == Phase.SILENT else ""),
            )

    def launch_engine(self, spec: EngineSpec) -> None:
        with self._call("launch_engine", spec.name) as faults, self.world.writing() as (db, now):
            row = self._engine(db, spec.name)
            if row is not None and row["installation"] != spec.installation:
                raise Rejected("An engine of that name exists which is not ours.")
            if row is not None and row["removing_at"] is not None:
                raise Transient("The engine is being removed.")
            if row is not None and not row["exited"]:
                values = (spec.fence, row["id"])
                db.execute("UPDATE engines SET fence = max(fence, ?) WHERE id = ?", values)
                return
            never = any(fault.kind is Fault.BOOT_FAILURE for fault in faults)
            failure = "The engine cannot load this model." if never else ""
            tag = (self.world.name, spec.name, spec.installation, spec.resource_id, spec.fence)
            statement = "INSERT INTO engines (world, name, installation, resource_id, fence, created_at,"
            statement += " loaded_at, exited, failure) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            db.execute("DELETE FROM engines WHERE world = ? AND name = ?", tag[:2])
            db.execute(statement, (*tag, now, now + self.config.boot_seconds, never, failure))
            self.world.count_effect(db, "launch_engine", spec.name)

    def delete_engine(self, name: str, *, force: bool = False) -> None:
        with self._call("delete_engine", name), self.world.writing() as (db, now):
            row = self._engine(db, name)
            if row is None or (row["removing_at"] is not None and not force):
                return
            gone = now if force else now + self.config.delete_seconds
            db.execute("UPDATE engines SET removing_at = ? WHERE id = ?", (gone, row["id"]))
            if row["removing_at"] is None:
                self.world.count_effect(db, "delete_engine", name)

    def count_open(self, name: str) -> int | None:
        with self._call("count_open", name):
            row = self._engine(self.world.store.reading(), name)
            return None if row is None or row["is_silent"] else int(row["open"])

    def read_log(self, name: str) -> str:
        with self._call("read_log", name):
            row = self._engine(self.world.store.reading(), name)
            return "" if row is None else _log_of(row, self.config.seed, self.world.now())

    def list_engines(self) -> Listing:
        with self._call("list_engines") as faults:
            kinds = {fault.kind for fault in faults}
            statement = "SELECT * FROM engines WHERE world = ? AND coalesce(removing_at, ?) > ? ORDER BY id"
            now = self.world.now()
            values = (self.world.name, now + 1, now)
            rows = self.world.store.reading().execute(statement, values).fetchall()
            if Fault.EMPTY_LIST in kinds:
                return Listing(())
            if Fault.PARTIAL_LIST in kinds:
                return Listing(tuple(map(ref_of, rows[: len(rows) // 2])), is_complete=False)
            return Listing(tuple(map(ref_of, rows)))

    # The control desk.

    def set_engine(self, name: str, **facts: int | str) -> None:
        """What happens to an engine that nobody asked for: `exited`, `is_silent`, `noticed`, `reclaimed`,
        `open` (requests), `failure`."""
        columns = ", ".join(f"{column} = ?" for column in facts)
        with self.world.writing() as (db, _now):
            statement = f"UPDATE engines SET {columns} WHERE world = ? AND name = ?"  # noqa: S608
            db.execute(statement, (*facts.values(), self.world.name, name))

    def engine_names(self) -> list[str]:
        """Every engine that exists."""
        return [ref.name for ref in self.list_engines().machines]

    def _engine(self, db: sqlite3.Connection, name: str) -> sqlite3.Row | None:
        statement = "SELECT * FROM engines WHERE world = ? AND name = ?"
        row: sqlite3.Row | None = db.execute(statement, (self.world.name, name)).fetchone()
        if row is not None and row["removing_at"] is not None and row["removing_at"] <= self.world.now():
            return None
        return row


def _phase(row: sqlite3.Row, now: float) -> Phase:
    if row["exited"]:
        return Phase.EXITED
    if row["removing_at"] is not None:
        return Phase.STOPPING
    if row["loaded_at"] > now:
        return Phase.LOADING
    return Phase.SILENT if row["is_silent"] else Phase.SERVING


def _log_of(row: sqlite3.Row, seed: int, now: float) -> str:
    """What such an engine would have said: the same whenever it is asked for."""
    lines = [(row["created_at"], "INFO simulated engine: loading the model")]
    if row["exited"]:
        lines.append((row["loaded_at"], f"ERROR {row['failure'] or 'the engine ended'}"))
    elif row["loaded_at"] <= now:
        lines.append((row["loaded_at"], "INFO serving"))
        last = int((now - row["loaded_at"]) // TELLS_EVERY)
        for tick in range(max(1, last - TELLS_LAST + 1), last + 1):
            dice = Random(f"{seed}/{row['name']}/{tick}")  # noqa: S311 - repeatable on purpose
            load = f"INFO {dice.uniform(20, 180):.1f} tokens/s, running {dice.randint(0, 3)}, waiting 0"
            lines.append((row["loaded_at"] + tick * TELLS_EVERY, load))
    if row["removing_at"] is not None:
        lines.append((row["removing_at"], "INFO asked to end"))
    return "".join(f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ} {said}\n" for at, said in lines)
