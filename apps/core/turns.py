"""A worker's turn at a row: what it read, its lease, what it found; it writes only while both still hold."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.utils.translation import gettext as _

from apps.core import statements
from apps.core.leases import LeaseLost, Tended

Row = TypeVar("Row", bound=Tended)
Seen = TypeVar("Seen")


class WishChanged(Exception):
    """Somebody changed what is wanted since the row was read: look again before writing."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something failed; the message is for the customer, the detail for the operator."""

    code: str
    message: str
    detail: str = ""


def overdue() -> Reason:
    return Reason("deadline_exceeded", _("It took longer than allowed."))


@dataclass(slots=True)
class Turn(Generic[Row, Seen]):
    """One worker's hold of a row."""

    row: Row
    token: UUID
    now: datetime
    seen: Seen | None = None
    is_absent: bool = False  # the driver has shown that nothing of it is there
    proof: dict[str, object] = field(default_factory=dict)
    reason: Reason | None = None

    def write(self, changes: dict[str, Any]) -> None:
        """Change the row if it is still ours and still wanted as it was read.

        Raises LeaseLost or WishChanged, and then nothing was written.
        """
        row, kind = self.row, type(self.row)
        mine = {"id": row.pk, "lease_token": self.token}
        if not statements.update(kind, {**mine, "generation": row.generation}, changes):
            if kind._default_manager.filter(**mine).exists():
                raise WishChanged(row.pk)
            raise LeaseLost(row.pk)
        for name, value in changes.items():
            if name != "due_at":
                setattr(row, name, value)

    def entering(self, state: str) -> dict[str, Any]:
        """What every transition writes: the state, since when, and that nothing was tried in it yet."""
        detail = self.reason.detail if self.reason else ""
        return {"state": state, "state_at": self.now, "asked_at": None, "attempts": 0, "last_error": detail}

    def rest(self, *, due_in: timedelta | None, **changes: Any) -> None:
        """Give the lease back; raises WishChanged when there is a new wish to look at first."""
        self.write({**given_back(due_in), **changes})

    def absence(self) -> dict[str, Any]:
        """What is noted of a row whose counterpart is proven gone."""
        return {"released_at": self.now, "absence": self.proof}


def given_back(due_in: timedelta | None) -> dict[str, Any]:
    """What is written when the lease is given back; None: not to be looked at again by itself."""
    return {"lease_token": None, "lease_until": None, "due_at": due_in}
