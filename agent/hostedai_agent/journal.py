"""What was measured and not yet acknowledged, on disk: an outage of the portal loses no second.

Entries are numbered by the file that holds them (`id`); the portal counts each number once, so replaying
is always safe.
"""

import json
import sqlite3
import uuid
from pathlib import Path
from typing import Any

# A week of ten seconds each; beyond that every second entry of the older half is given up.
MOST_ENTRIES = 60_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Journal:
    """Use from one thread."""

    def __init__(self, folder: Path, *, most: int = MOST_ENTRIES) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._most = most
        self._db = sqlite3.connect(folder / "journal.sqlite", isolation_level=None, timeout=30)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        if self.fact("id") is None:
            self.note("id", str(uuid.uuid4()))
        self.id = str(self.fact("id"))

    def append(self, body: dict[str, Any]) -> int:
        """Keep an entry; returns its number. It is on disk when this returns."""
        seq = self._db.execute("INSERT INTO entry (body) VALUES (?)", [json.dumps(body)]).lastrowid
        if len(self) > self._most:
            self._thin()
        return int(seq or 0)

    def oldest(self, limit: int) -> list[dict[str, Any]]:
        """The entries to send next, in order, each with its `seq`."""
        rows = self._db.execute("SELECT seq, body FROM entry ORDER BY seq LIMIT ?", [limit]).fetchall()
        return [{"seq": seq, **json.loads(body)} for seq, body in rows]

    def forget(self, acknowledged: int) -> None:
        """The portal has everything up to this number."""
        self._db.execute("DELETE FROM entry WHERE seq <= ?", [acknowledged])

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM entry").fetchone()[0])

    def note(self, name: str, value: str) -> None:
        """Remember one thing across restarts."""
        self._db.execute(
            "INSERT INTO fact VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [name, value],
        )

    def fact(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM fact WHERE name = ?", [name]).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        self._db.close()

    def _thin(self) -> None:
        """Give up detail, not time: what is dropped is covered by the one after it."""
        half = "SELECT seq FROM entry ORDER BY seq LIMIT (SELECT count(*) / 2 FROM entry)"
        rows = [int(row[0]) for row in self._db.execute(half)]
        self._db.execute("BEGIN")
        for dropped, kept in zip(rows[::2], rows[1::2], strict=False):
            self._db.execute(
                "UPDATE entry SET body = json_set(body, '$.seconds', json_extract(body, '$.seconds') +"
                " (SELECT json_extract(body, '$.seconds') FROM entry WHERE seq = ?)) WHERE seq = ?",
                [dropped, kept],
            )
            self._db.execute("DELETE FROM entry WHERE seq = ?", [dropped])
        self._db.execute("COMMIT")
