"""Every invariant of the books, each as a question whose answer must be empty.

A check is a name, the sentence that must hold, and a query that finds where it does not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from apps.billing.selectors.invariants import CHECKS
from apps.billing.selectors.rerating import rerate, rerate_counted

EXAMPLES = 5
RERATED = {
    "rerated": "rating every interval again gives the same amounts, digit for digit",
    "counted_rerated": "rating every event and token request again gives the same amounts, digit for digit",
}
_TABLES = [
    "transaction", "posting", "usageinterval", "usageevent", "tokenrequest", "ratedusage", "usageday",
    "meter", "hold", "wallet", "priceversion", "quarantined",
]  # fmt: skip


def register(name: str, sentence: str, query: str) -> None:
    """Let an app above add what must hold of its own tables; said once, when it is ready."""
    CHECKS[name] = (sentence, query)


def register_finder(name: str, find: "Callable[[], Finding]") -> None:
    """The same for what only Python can tell; it is called inside the proof's snapshot."""
    FINDERS[name] = find


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: how many offences, and the first few of them."""

    name: str
    sentence: str
    count: int
    examples: list[str]

    @property
    def is_ok(self) -> bool:
        return self.count == 0


def verify() -> list[Finding]:
    """Every check's finding, all on one snapshot of the books; for callers that see everything."""
    with _snapshot():
        findings = [_ask(name, *check) for name, check in CHECKS.items()]
        findings += [find() for find in FINDERS.values()]
        again = {"rerated": rerate(), "counted_rerated": rerate_counted()}
    return findings + [
        Finding(name, RERATED[name], len(problems), problems[:EXAMPLES]) for name, problems in again.items()
    ]


def sizes() -> dict[str, int]:
    """How many rows the proof went over."""
    counts = [f"SELECT '{name}', count(*) FROM billing_{name}" for name in _TABLES]  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(counts))
        return dict(cursor.fetchall())


FINDERS: dict[str, Callable[[], Finding]] = {}


@contextmanager
def _snapshot() -> Iterator[None]:
    """One unchanging view of all tables, however long the checks take."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                cursor.execute("SET LOCAL statement_timeout = 0")
        yield


def _ask(name: str, sentence: str, query: str) -> Finding:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT *, count(*) OVER () FROM ({query}) AS found LIMIT {EXAMPLES}")  # noqa: S608
        columns = [column.name for column in cursor.description or ()][:-1]
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    examples = [", ".join(f"{c}={v}" for c, v in zip(columns, row, strict=False)) for row in rows]
    return Finding(name, sentence, rows[0][-1] if rows else 0, examples)
