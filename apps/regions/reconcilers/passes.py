"""A pass over a row that lies in a region: claim, observe, plan, act, release. Safe to repeat, safe to lose.

Here stands what is the same for machines and engines; their own passes say what they look at, what they plan
and what they ask of their driver. No transaction is open while a driver is called. Failpoints stand wherever
a crash would hurt most.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol

import structlog
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, connection

from apps.core.failpoints import failpoint
from apps.core.leases import LeaseLost, Tended, in_time, take
from apps.core.turns import Reason, Turn, WishChanged
from apps.drivers.errors import DriverError

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=2)
GRACE = timedelta(seconds=1)
ALARM_AFTER = timedelta(minutes=15)
MOST_STEPS = 24
WAIT_MOST, RETRY_MOST = 4.0, 60.0  # seconds
WAIT = "wait"

# The brake: in a frozen region nothing is touched.
_FROZEN = "EXISTS (SELECT FROM regions_region r WHERE r.id = region_id AND r.frozen_at IS NOT NULL)"


class Step(Protocol):
    """What a plan answers: a transition to commit first (None: stay), then something to do."""

    @property
    def event(self) -> str | None: ...

    @property
    def act(self) -> str: ...


class Pass(ABC):
    """A turn in progress."""

    rows: ClassVar[type[Tended]]
    turns: ClassVar[type[Turn[Any, Any]]] = Turn
    app: ClassVar[str]  # what its failpoints begin with
    ended: ClassVar[Container[Any]]  # states that nothing follows
    resting: ClassVar[Container[str]]  # transitions that give the lease back
    resync: ClassVar[timedelta]  # how often what is settled is looked at
    first_wait: ClassVar[float]  # seconds

    turn: Turn[Any, Any]
    sight: Any

    def __init__(self, turn: Turn[Any, Any]) -> None:
        self.turn = turn
        self.error: DriverError | None = None
        self.steps = 0
        self.start, self.began = turn.now, time.monotonic()
        failpoint(f"{self.app}.pass.claimed")

    @classmethod
    def bring(cls, pk: str, now: datetime | None = None) -> bool:
        """Bring one row as far as it goes at the moment; False when it is not due or somebody is at it.

        `now` stands in for the database's clock, for tests that let time pass.
        """
        row = take(cls.rows, pk, ttl=LEASE, unless=_FROZEN)
        if row is None:
            return False
        assert row.lease_token is not None
        turn = cls.turns(row, row.lease_token, now or row.taken_at)
        try:
            cls(turn).run()
        except LeaseLost:
            log.warning("lease_lost", row=pk)
        except Exception:
            _let_others(turn)
            raise
        return True

    def run(self) -> None:
        while self.steps < MOST_STEPS:
            self.steps += 1
            self.turn.now = self.start + timedelta(seconds=time.monotonic() - self.began)
            try:
                if self.step():
                    return
            except WishChanged:
                self.read_again()
        self.turn.rest(due_in=timedelta(seconds=1))

    def step(self) -> bool:
        """Look, decide, do; True when the lease was given back."""
        self.sight = self.look()
        failpoint(f"{self.app}.pass.observed")
        step = self.plan()
        if step.event is None and step.act == WAIT:
            return self.wait()
        if step.event and self.commit(step.event):
            return True
        if step.act != WAIT:
            self.do(step.act)
        return self.has_stalled()

    # ------------------------------------------------------------ look

    def look(self) -> Any:
        """Ask the driver; an error is no answer and proves nothing."""
        turn, self.error = self.turn, None
        turn.seen, turn.is_absent = None, False
        try:
            turn.seen = self.observe()
        except DriverError as error:
            self.error = error
        else:
            turn.is_absent = turn.seen is None
        if turn.is_absent:
            about = {"at": turn.now.isoformat(), "fence": turn.row.fence, "answer": "absent"}
            turn.proof = {**about, **self.where()}
        return self.describe()

    @abstractmethod
    def observe(self) -> Any:
        """What the driver sees; None when nothing of it is there."""

    @abstractmethod
    def where(self) -> dict[str, object]:
        """What was looked for and where, for the proof that it is gone."""

    @abstractmethod
    def describe(self) -> Any:
        """What was seen, in the words of the plan."""

    @abstractmethod
    def plan(self) -> Step:
        """What to do next."""

    # ------------------------------------------------------------ do

    def commit(self, event: str) -> bool:
        """Write a transition; True when the row then rests."""
        self.move(event)
        failpoint(f"{self.app}.moved.{event}")
        return event in self.resting

    @abstractmethod
    def move(self, event: str) -> None:
        """Write a transition and what follows from it, in one transaction."""

    def do(self, what: Any) -> None:
        """Conclude, or ask the driver."""
        if self.conclude(what):
            return
        failpoint(f"{self.app}.acting.{what}")
        try:
            self.act(what)
        except DriverError as error:
            self.error = error
            self.refuse(what, error)
        failpoint(f"{self.app}.acted.{what}")

    @abstractmethod
    def conclude(self, what: Any) -> bool:
        """What needs no driver; False when this does."""

    @abstractmethod
    def act(self, what: Any) -> None:
        """Ask the driver; raises DriverError."""

    @abstractmethod
    def refuse(self, what: Any, error: DriverError) -> None:
        """What the driver's refusal means; one that is settled by it is taken out of `error`."""

    # ------------------------------------------------------------ and let go

    def wait(self) -> bool:
        """Nothing to do until something changes; False to look again at once."""
        if self.has_stalled():
            return True
        row, notes = self.turn.row, {"last_error": "", **self.notes()}
        if self.is_settled():
            is_over = row.state in self.ended and row.released_at is not None
            self.let_go(None if is_over else self.resync, {**notes, "attempts": 0})
        else:
            pause = timedelta(seconds=min(self.first_wait + row.attempts * 0.25, WAIT_MOST))
            self.let_go(pause, {**notes, "attempts": row.attempts + 1})
        return True

    @abstractmethod
    def is_settled(self) -> bool:
        """Whether what is wanted is what is, as far as that can ever be."""

    @abstractmethod
    def notes(self) -> dict[str, object]:
        """What is written down whenever the lease is given back."""

    def has_stalled(self) -> bool:
        """Give the lease back when the driver does not answer: asking again at once helps nobody."""
        if self.error is None:
            return False
        self.retreat(self.error)
        return True

    def retreat(self, error: DriverError) -> None:
        """Try again later, ever later, and tell staff when a removal does not get through."""
        row = self.turn.row
        log.warning("driver_failed", row=str(row.pk), state=row.state, error=error.detail)
        if self.turn.now - row.state_at > ALARM_AFTER:
            self.alarm(Reason("removal_overdue", str(error), error.detail))
        notes = {"attempts": row.attempts + 1, "last_error": error.detail[:2000]}
        self.let_go(_pause_after(row.attempts), {**self.notes(), **notes})

    @abstractmethod
    def alarm(self, why: Reason) -> None:
        """Tell staff, once, if it is a removal that has not got through for so long."""

    def let_go(self, due_in: timedelta | None, changes: dict[str, object]) -> None:
        failpoint(f"{self.app}.pass.releasing")
        self.turn.rest(due_in=due_in, **changes)

    def read_again(self) -> None:
        """Somebody wished for something else meanwhile: go on from there."""
        row = self.turn.row
        with suppress(ObjectDoesNotExist):
            row.refresh_from_db()
        if row.lease_token != self.turn.token:
            raise LeaseLost(row.pk)
        self.turn.reason = None


def _let_others(turn: Turn[Any, Any]) -> None:
    """A pass that broke off keeps nobody waiting for its lease, but is not repeated at once for ever."""
    row = turn.row
    again = in_time(_pause_after(row.attempts))
    changes = {"lease_token": None, "lease_until": None, "attempts": row.attempts + 1, "due_at": again}
    with suppress(DatabaseError):
        type(row)._default_manager.filter(pk=row.pk, lease_token=turn.token).update(**changes)


def _pause_after(attempts: int) -> timedelta:
    return timedelta(seconds=min(2.0 ** min(attempts, 6), RETRY_MOST))


def bring_due(kind: type[Pass], *, limit: int, threads: int, alone: int) -> int:
    """Everything that is due and that no worker has taken: what hints did not reach.

    Up to `alone` rows are brought by this thread, one after the other.
    """
    rows: Any = kind.rows._default_manager
    found = rows.due(grace=GRACE).filter(region__frozen_at=None)
    due = list(found.values_list("pk", flat=True)[:limit])
    if len(due) <= alone:
        return _bring_some(kind, due)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        shares = [due[first::threads] for first in range(threads)]
        return sum(pool.map(lambda share: _bring_apart(kind, share), shares))


def _bring_apart(kind: type[Pass], due: list[str]) -> int:
    try:
        return _bring_some(kind, due)
    finally:
        connection.close()


def _bring_some(kind: type[Pass], due: list[str]) -> int:
    return sum(_bring_one(kind, pk) for pk in due)


def _bring_one(kind: type[Pass], pk: str) -> bool:
    try:
        return kind.bring(pk)
    except Exception:
        log.exception("pass_failed", row=pk)
        return False
