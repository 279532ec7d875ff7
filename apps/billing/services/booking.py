"""The one statement that writes usage, money and meters: set-based, whole or not at all.

Whoever calls holds the meters' and the wallets' row locks, taken in this order, each by id.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from apps.billing.models import AccountKind, TransactionKind, Wallet
from apps.billing.specs import EPOCH, derived_uuid
from apps.core import statements
from apps.core.ids import decode
from apps.core.money import ZERO

# Each part of the statement: the columns of its rows, and what is done with them (`rows`).
_PARTS = {
    "accounts": (
        "id uuid, kind text, currency text",
        "INSERT INTO billing_account (id, kind, currency) SELECT * FROM rows ON CONFLICT DO NOTHING",
    ),
    "intervals": (
        "id uuid, resource_id text, team_id uuid, workspace_id uuid, region_id uuid, rates jsonb,"
        " started_at timestamptz, ended_at timestamptz, previous_end timestamptz",
        "INSERT INTO billing_usageinterval (id, resource_id, team_id, workspace_id, region_id, rates,"
        " started_at, ended_at, previous_end) SELECT * FROM rows",
    ),
    "lines": (
        "interval_id uuid, event_id uuid, transaction_id uuid, team_id uuid, workspace_id uuid,"
        " resource_id text, product text, unit text, version_id uuid, started_at timestamptz,"
        " seconds numeric, quantity numeric, unit_price numeric, position numeric, amount numeric,"
        " reverses bigint",
        "INSERT INTO billing_ratedusage (interval_id, event_id, transaction_id, team_id, workspace_id,"
        " resource_id, product, unit, version_id, started_at, seconds, quantity, unit_price, position,"
        " amount, reverses) SELECT * FROM rows RETURNING *",
    ),
    "transactions": (
        "id uuid, kind text, team_id uuid, currency text, reference text, description text,"
        " actor_label text, booked_at timestamptz",
        "INSERT INTO billing_transaction (id, kind, team_id, currency, reference, description, actor_label,"
        " booked_at) SELECT * FROM rows ON CONFLICT (id) DO NOTHING RETURNING id",
    ),
    "postings": (
        "transaction_id uuid, account_id uuid, team_id uuid, amount numeric",
        "INSERT INTO billing_posting (transaction_id, account_id, team_id, amount)"
        " SELECT rows.* FROM rows JOIN transactions ON transactions.id = rows.transaction_id",
    ),
    "wallets": (
        "team_id uuid, balance numeric, held numeric",
        "UPDATE billing_wallet AS w SET balance = w.balance + s.balance, held = w.held + s.held FROM ("
        " SELECT team_id, sum(balance) AS balance, sum(held) AS held FROM rows GROUP BY 1) s"
        " WHERE w.team_id = s.team_id",
    ),
    "holds": (
        "resource_id text, team_id uuid, amount numeric, expires_at timestamptz",
        "INSERT INTO billing_hold (resource_id, team_id, amount, expires_at) SELECT * FROM rows"
        " ON CONFLICT (resource_id) DO UPDATE SET amount = excluded.amount, expires_at = excluded.expires_at",
    ),
    "released": (
        "resource_id text",
        "DELETE FROM billing_hold USING rows WHERE billing_hold.resource_id = rows.resource_id",
    ),
    "meters": (
        "resource_id text, rates jsonb, hourly numeric, metered_until timestamptz, last_end timestamptz,"
        " next_cut_at timestamptz, short_since timestamptz, unpaid_since timestamptz, parked_because text,"
        " ended_at timestamptz",
        "UPDATE billing_meter AS m SET rates = rows.rates, hourly = rows.hourly,"
        " metered_until = rows.metered_until, last_end = rows.last_end, next_cut_at = rows.next_cut_at,"
        " short_since = rows.short_since, unpaid_since = rows.unpaid_since,"
        " parked_because = rows.parked_because, ended_at = rows.ended_at"
        " FROM rows WHERE m.resource_id = rows.resource_id",
    ),
    "changes": (
        "resource_id text, team_id uuid, workspace_id uuid, rates jsonb, at timestamptz",
        "INSERT INTO billing_meterchange (resource_id, seq, team_id, workspace_id, rates, at)"
        " SELECT resource_id, row_number() OVER (PARTITION BY resource_id ORDER BY at) - 1"
        " + (SELECT count(*) FROM billing_meterchange c WHERE c.resource_id = rows.resource_id),"
        " team_id, workspace_id, rates, at FROM rows",
    ),
}

# What the new lines add to the sums by day: intervals by their time, what is counted by its count.
_DAYS = """
INSERT INTO billing_usageday AS old (team_id, workspace_id, resource_id, product, day, seconds,
                                     unit_seconds, quantity, amount)
SELECT team_id, workspace_id, resource_id, product, (started_at AT TIME ZONE 'UTC')::date AS day,
       sum(seconds), sum(seconds * quantity), coalesce(sum(quantity) FILTER (WHERE interval_id IS NULL), 0),
       sum(amount)
  FROM lines GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 5, 2, 3, 4
ON CONFLICT (team_id, day, workspace_id, resource_id, product) DO UPDATE
   SET seconds = old.seconds + excluded.seconds, unit_seconds = old.unit_seconds + excluded.unit_seconds,
       quantity = old.quantity + excluded.quantity, amount = old.amount + excluded.amount
"""


# What a team has used and not paid for, and no invoice has asked for yet.
_UNCOLLECTED = """
SELECT greatest(-sum(p.amount), 0) FROM billing_posting p JOIN billing_account a ON a.id = p.account_id
  JOIN billing_transaction t ON t.id = p.transaction_id WHERE t.team_id = %s AND a.kind = 'uncollected'
"""


@dataclass(frozen=True, slots=True)
class Texts:
    """What a transaction of usage is called, and its id."""

    id: UUID
    at: datetime
    reference: str
    description: str = ""
    kind: TransactionKind = TransactionKind.USAGE


@dataclass(slots=True)
class Batch:
    """Rows to write together, in the columns that `_PARTS` names."""

    accounts: set[tuple[Any, ...]] = field(default_factory=set)
    intervals: list[tuple[Any, ...]] = field(default_factory=list)
    lines: list[tuple[Any, ...]] = field(default_factory=list)
    transactions: list[tuple[Any, ...]] = field(default_factory=list)
    postings: list[tuple[Any, ...]] = field(default_factory=list)
    wallets: list[tuple[Any, ...]] = field(default_factory=list)
    holds: list[tuple[Any, ...]] = field(default_factory=list)
    released: list[tuple[Any, ...]] = field(default_factory=list)
    meters: list[tuple[Any, ...]] = field(default_factory=list)
    changes: list[tuple[Any, ...]] = field(default_factory=list)

    def business_account(self, kind: AccountKind, currency: str) -> UUID:
        """The id of one of our own accounts, which is made when it is first used."""
        account = derived_uuid(EPOCH, "account", kind, currency)
        self.accounts.add((account, str(kind), currency))
        return account

    def post(self, transaction: tuple[Any, ...], *postings: tuple[UUID, UUID | None, Decimal]) -> None:
        """A transaction (its columns) and its postings (account, team, amount); zero amounts are left out."""
        self.transactions.append(transaction)
        self.postings.extend((transaction[0], *posting) for posting in postings if posting[2])


def charge_usage(batch: Batch, wallet: Wallet, *, texts: Texts, amount: Decimal, covered: Decimal) -> None:
    """Post what a team has used besides time: paid from what is free and from the holds that covered it.

    What neither covers is uncollected; a negative amount is a correction and comes back to the team, less
    what it has not paid for. The wallet is locked and is kept in step, so that several charges of a batch
    see one another.
    """
    if not amount:
        return
    team = decode("team", wallet.team_id)
    if amount < 0:
        paid = min(amount + statements.fetch_one(_UNCOLLECTED, [team])[0], ZERO)
    else:
        paid = min(amount, max(wallet.available, ZERO) + covered)
    batch.post(
        (texts.id, str(texts.kind), team, wallet.currency, texts.reference, texts.description, "", texts.at),
        (decode("acc", wallet.account_id), team, -paid),
        (batch.business_account(AccountKind.UNCOLLECTED, wallet.currency), None, paid - amount),
        (batch.business_account(AccountKind.REVENUE, wallet.currency), None, amount),
    )
    batch.wallets.append((team, -paid, -covered))
    wallet.balance -= paid
    wallet.held -= covered


def write(batch: Batch) -> int:
    """Write the batch in one statement; the number of ledger transactions that were new."""
    named = tuple(name for name in _PARTS if getattr(batch, name))
    if not named:
        return 0
    values = [column for name in named for column in statements.arrays(_kinds(name), getattr(batch, name))]
    return int(statements.fetch_one(_statement(named), values)[0])


@cache
def _kinds(name: str) -> list[str]:
    return [column.split()[1] for column in _PARTS[name][0].split(",")]


@cache
def _statement(named: tuple[str, ...]) -> str:
    """The statement for a batch with rows in these parts."""
    parts = [f"{name} AS ({_with_rows(*_PARTS[name])})" for name in named]
    if "lines" in named:
        parts.append(f"days AS ({_DAYS})")
    counted = "(SELECT count(*) FROM transactions)" if "transactions" in named else "0"
    return f"WITH {', '.join(parts)} SELECT {counted}"


def _with_rows(columns: str, action: str) -> str:
    """The action, with `rows` made of one array per column."""
    pairs = [column.split() for column in columns.split(",")]
    arrays = ", ".join(f"%s::{kind}[]" for _name, kind in pairs)
    names = ", ".join(name for name, _kind in pairs)
    return f"WITH rows ({names}) AS (SELECT * FROM unnest({arrays})) {action}"  # noqa: S608 - made of this page
