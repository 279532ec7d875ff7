"""Reading the ledger: a team's statement, the transactions and accounts for staff."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import connection
from django.db.models import OuterRef, Prefetch, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from apps.billing.models import Account, Posting, Transaction
from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.core.ids import decode, encode
from apps.core.money import ZERO
from apps.core.permissions import Permission

# Usage is one line per day; whatever else happened has a line of its own. The running balance is that of the
# whole account, reckoned back from the wallet's, so that only what is newer than the first day shown is read.
_STATEMENT = """
WITH entries AS (
    SELECT (t.booked_at AT TIME ZONE 'UTC')::date AS day, t.kind,
           CASE WHEN t.kind = 'usage' THEN NULL ELSE t.id END AS id,
           CASE WHEN t.kind = 'usage' THEN '' ELSE max(t.description) END AS description,
           max(t.booked_at) AS booked_at, sum(p.amount) AS amount, count(*) AS entries
      FROM billing_posting p JOIN billing_transaction t ON t.id = p.transaction_id
     WHERE p.team_id = %(team)s AND t.team_id = %(team)s
       AND t.booked_at >= %(since)s::date::timestamp AT TIME ZONE 'UTC'
     GROUP BY 1, 2, 3
), balanced AS (
    SELECT entries.*, w.balance - coalesce(sum(amount) OVER (
             ORDER BY booked_at DESC, id DESC NULLS FIRST
             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS balance
      FROM entries, billing_wallet w WHERE w.team_id = %(team)s
)
SELECT day, kind, id, description, booked_at, amount, entries, balance FROM balanced
 WHERE day BETWEEN %(since)s AND %(until)s ORDER BY booked_at DESC, id DESC NULLS FIRST
"""


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One line of a statement; a day's usage is one line, and `balance` is what stood after it."""

    day: date
    kind: str
    transaction_id: str | None
    description: str
    booked_at: datetime
    amount: Decimal
    entries: int
    balance: Decimal


@dataclass(frozen=True, slots=True)
class AccountTotal:
    """An account kind of ours, or all customers together, with the sum of the postings."""

    kind: str
    currency: str
    balance: Decimal
    accounts: int


def statement(*, actor: Actor, team_id: str, since: date, until: date) -> list[StatementLine]:
    """The team's account, newest first, days UTC; NotFound unless the actor may read it."""
    if not Account.objects.visible_to(actor).filter(team_id=team_id).exists():
        raise NotFound(_("There is no such team."))
    return statement_of(team_id, since=since, until=until)


def statement_of(team_id: str, *, since: date, until: date) -> list[StatementLine]:
    """The same for callers that have asked whether the actor may see it."""
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT, {"team": decode("team", team_id), "since": since, "until": until})
        rows = cursor.fetchall()
    return [StatementLine(row[0], row[1], row[2] and encode("ltx", row[2]), *row[3:]) for row in rows]


def balance_at(team_id: str, *, at: datetime) -> Decimal:
    """The team's balance at a moment, for callers that have asked whether the actor may see it."""
    rows = Posting.objects.filter(
        team_id=team_id, transaction__team_id=team_id, transaction__booked_at__lt=at
    )
    return rows.aggregate(s=Sum("amount"))["s"] or ZERO


def entries(actor: Actor, *, team_id: str) -> "QuerySet[Transaction]":
    """The team's transactions, each with what it did to the team's balance."""
    own = Posting.objects.filter(transaction=OuterRef("pk"), team_id=team_id).order_by()
    change = Subquery(own.values("transaction").annotate(s=Sum("amount")).values("s"))
    rows: QuerySet[Transaction] = Transaction.objects.visible_to(actor).filter(team_id=team_id)
    return rows.annotate(amount=Coalesce(change, Decimal(0)))


def first_booked(actor: Actor, *, team_id: str) -> datetime | None:
    """When anything was first booked for the team."""
    rows = Transaction.objects.visible_to(actor).filter(team_id=team_id).order_by("booked_at")
    found: datetime | None = rows.values_list("booked_at", flat=True).first()
    return found


def find_entry(actor: Actor, *, team_id: str, entry_id: str) -> Transaction:
    found = entries(actor, team_id=team_id).filter(pk=entry_id).first()
    if found is None:
        raise NotFound(_("There is no such transaction."))
    return found


def transactions(actor: Actor) -> "QuerySet[Transaction]":
    """What the actor may see of the ledger, newest first, with the postings it may see."""
    seen = Posting.objects.visible_to(actor).select_related("account").order_by("id")
    found: QuerySet[Transaction] = Transaction.objects.visible_to(actor)
    return found.prefetch_related(Prefetch("postings", queryset=seen)).select_related("team")


def on_account(kind: str) -> Q:
    """Transactions that moved something on an account of this kind."""
    return Q(pk__in=Posting.objects.filter(account__kind=kind).order_by().values("transaction"))


def find_transaction(actor: Actor, transaction_id: str) -> Transaction:
    found = transactions(actor).filter(pk=transaction_id).first()
    if found is None:
        raise NotFound(_("There is no such transaction."))
    return found


def account_totals(actor: Actor) -> list[AccountTotal]:
    """The chart of accounts with balances; customers are one line per currency. For platform staff."""
    actor.require(Permission.BILLING_READ)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.kind, a.currency, coalesce(sum(s.balance), 0), count(*) FROM billing_account a"
            " LEFT JOIN (SELECT account_id, sum(amount) AS balance FROM billing_posting GROUP BY 1) s"
            " ON s.account_id = a.id GROUP BY 1, 2 ORDER BY 2, 1"
        )
        return [AccountTotal(*row) for row in cursor.fetchall()]


def uncollected(actor: Actor, *, team_id: str | None = None) -> Decimal:
    """What was used but could not be paid; for one team or all."""
    actor.require(Permission.BILLING_READ)
    rows = Posting.objects.filter(account__kind="uncollected")
    if team_id is not None:
        rows = rows.filter(transaction__team_id=team_id)
    found: Decimal | None = rows.aggregate(s=Sum("amount"))["s"]
    return -(found or ZERO)
