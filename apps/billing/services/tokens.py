"""What the gateway says to billing: what tokens cost, let me spend so much, this is what was used.

`price_table` once per change, `lease`/`renew`/`release` per team or key and minute, `settle` per batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction

from apps.billing import rating
from apps.billing.models import Hold, PriceVersion, Wallet
from apps.billing.rating import of_picos, token_cost, token_picos, token_rates
from apps.billing.selectors.tokens import price_table
from apps.billing.services import booking, budgets, provided, quarantine
from apps.billing.services.booking import Batch, Texts, charge_usage
from apps.billing.services.leases import lease, release, renew
from apps.billing.services.quarantine import Refused
from apps.billing.specs import (
    TOKEN_KINDS,
    TOKENS_PER_PRICE,
    Lease,
    PriceTable,
    Settled,
    Spender,
    TokenPrices,
    TokenUsage,
)  # fmt: skip
from apps.billing.states import QuarantineReason
from apps.core import statements
from apps.core.clock import db_now
from apps.core.failpoints import failpoint
from apps.core.ids import decode, encode, new_uuid
from apps.core.money import ZERO

__all__ = [
    "Lease",
    "PriceTable",
    "Settled",
    "TokenPrices",
    "TokenUsage",
    "lease",
    "of_picos",
    "price_table",
    "release",
    "renew",
    "settle",
    "token_cost",
    "token_picos",
    "token_rates",
]

UNIT = "1M tokens"
SOURCE = "gateway"
MOST_TOKENS = 10**10

_COLUMNS = (
    "request_id uuid, team_id uuid, workspace_id uuid, key_id uuid, endpoint_id uuid, replica_id uuid,"
    " slug text, digest text, outcome text, stream boolean, input bigint, cached bigint, output bigint,"
    " embedding bigint, input_amount numeric, cached_amount numeric, output_amount numeric,"
    " embedding_amount numeric, currency text, version_ids text, lease_id uuid, started_at timestamptz,"
    " finished_at timestamptz, transaction_id uuid, first_ms integer"
)
_NAMES = ", ".join(column.split()[0] for column in _COLUMNS.split(","))
_KINDS = [column.split()[1] for column in _COLUMNS.split(",")]
_SPELLED = ["" if kind in ("uuid", "numeric") else kind for kind in _KINDS]  # rows hold these as text
_ROWS = f"unnest({', '.join(f'%s::{kind}[]' for kind in _KINDS)}) AS s ({_NAMES})"
_VALUES = _NAMES.replace("version_ids", "version_ids::uuid[]")

# The rows that are new, added up as finely as the books need them.
_INSERT = f"""
WITH new AS (
    INSERT INTO billing_tokenrequest ({_NAMES}) SELECT {_VALUES} FROM {_ROWS} ORDER BY request_id
    ON CONFLICT (request_id) DO NOTHING RETURNING *)
SELECT team_id, workspace_id, key_id, endpoint_id, slug, version_ids, lease_id, transaction_id,
       (started_at AT TIME ZONE 'UTC')::date, min(started_at), count(*),
       ARRAY[sum(input), sum(cached), sum(output), sum(embedding)],
       ARRAY[sum(input_amount), sum(cached_amount), sum(output_amount), sum(embedding_amount)]
  FROM new GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
"""  # noqa: S608 - made of this page

_CONFLICTS = f"""
SELECT s.request_id FROM {_ROWS} JOIN billing_tokenrequest t USING (request_id)
 WHERE (s.team_id, s.slug, s.input, s.cached, s.output, s.embedding, s.outcome, s.key_id,
        s.version_ids::uuid[])
       IS DISTINCT FROM
       (t.team_id, t.slug, t.input, t.cached, t.output, t.embedding, t.outcome, t.key_id, t.version_ids)
"""  # noqa: S608 - made of this page


@dataclass(frozen=True, slots=True)
class Priced:
    """What is needed of a price version to charge tokens; versions never change, so it may be kept."""

    uuid: UUID
    product: str
    currency: str
    unit_price: Decimal


@dataclass(slots=True)
class Used:
    """The new requests of one team, key, endpoint, lease and day, added up."""

    team: UUID
    workspace: UUID
    key: UUID | None
    endpoint: UUID | None
    slug: str
    versions: list[UUID | None]
    lease: UUID | None
    transaction: UUID
    day: date
    first_at: datetime
    requests: int
    counts: list[Decimal]
    amounts: list[Decimal]

    @property
    def amount(self) -> Decimal:
        return sum(self.amounts, ZERO)


@dataclass(slots=True)
class Checked:
    """A batch after it was looked at: rows for PostgreSQL, refusals, and how often an id stood twice."""

    rows: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    records: dict[int, TokenUsage] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    repeats: int = 0


def settle(records: Sequence[TokenUsage]) -> Settled:
    """Charge what was used: each request id once, one ledger transaction per team, whole or not at all.

    The same records again are duplicates and change nothing; other content under a known id, and what
    cannot be believed, is quarantined. May be repeated, and cut short at any moment.
    """
    if not records:
        return Settled(0, 0)
    versions = _versions(records)
    with transaction.atomic():
        wallets = _lock_wallets(records)
        checked = _check(records, versions, wallets)
        columns = statements.arrays(_SPELLED, checked.rows.values())
        used = [Used(*row) for row in statements.fetch_all(_INSERT, columns)]
        failpoint("billing.tokens.inserted")
        counted = sum(one.requests for one in used)
        known = len(checked.rows) - counted
        conflicts = _conflicts(checked, columns) if known else []
        quarantine.put(checked.refused + conflicts)
        if used:
            _book(used, wallets, checked.records.values())
        failpoint("billing.tokens.booked")
    duplicates = known - len(conflicts) + checked.repeats
    return Settled(counted, duplicates, len(checked.refused) + len(conflicts))


@lru_cache(maxsize=16_384)
def _hex(prefix: str, text: str | None) -> str | None:
    return decode(prefix, text).hex if text else None


_known_versions: dict[str, Priced] = {}


def _versions(records: Iterable[TokenUsage]) -> dict[str, Priced]:
    wanted = {version for record in records for version in record.price_version_ids if version}
    missing = [version for version in wanted - _known_versions.keys() if version.startswith("prv_")]
    if missing:
        for row in PriceVersion.objects.filter(pk__in=[one for one in missing if _is_id(one)]):
            _known_versions[row.pk] = Priced(decode("prv", row.pk), row.product, row.currency, row.unit_price)
    return _known_versions


def _is_id(text: str) -> bool:
    try:
        decode("prv", text)
    except ValueError:
        return False
    return True


def _lock_wallets(records: Iterable[TokenUsage]) -> dict[UUID, Wallet]:
    """The wallets of the teams, locked in order; those of unknown teams are missing."""
    teams = set()
    for team_id in {record.team_id for record in records}:
        try:
            teams.add(decode("team", team_id))
        except ValueError:
            continue
    rows = Wallet.objects.filter(team_id__in=teams).order_by("team_id").select_for_update()
    return {decode("team", wallet.team_id): wallet for wallet in rows}


def _check(
    records: Iterable[TokenUsage], versions: dict[str, Priced], wallets: dict[UUID, Wallet]
) -> Checked:
    checked = Checked()
    transactions = {team: new_uuid() for team in wallets}
    known: dict[tuple[Any, ...], Terms | QuarantineReason] = {}
    for record in records:
        number = record.request_id.int
        if number in checked.rows:
            if checked.records[number] == record:
                checked.repeats += 1
            else:
                checked.refused.append(_refused(record, QuarantineReason.CONFLICT))
            continue
        try:
            key = (
                record.team_id, record.slug, record.currency, record.is_metered, record.price_version_ids,
            )  # fmt: skip
            if key not in known:
                known[key] = _terms(record, versions, wallets, transactions)
            row = _row(record, known[key])
        except ValueError:
            row = QuarantineReason.MALFORMED
        if isinstance(row, QuarantineReason):
            checked.refused.append(_refused(record, row))
        else:
            checked.rows[number] = row
            checked.records[number] = record
    return checked


class Terms(NamedTuple):
    """What is the same for a team's requests of a model under some versions: ids as they are spelled, and the
    rates, kind by kind; which are sold."""

    team: str
    transaction: str
    version_ids: str
    rates: tuple[int, ...]
    is_sold: tuple[bool, ...]


def _terms(
    record: TokenUsage,
    versions: dict[str, Priced],
    wallets: dict[UUID, Wallet],
    transactions: dict[UUID, UUID],
) -> Terms | QuarantineReason:
    """The terms that the record names, or why they cannot be its team's and model's."""
    team, ids = decode("team", record.team_id), record.price_version_ids
    if team not in wallets:
        return QuarantineReason.UNKNOWN_TEAM
    if record.currency != wallets[team].currency:
        return QuarantineReason.CURRENCY
    if len(ids) != len(TOKEN_KINDS) or (any(ids) and not record.is_metered):
        return QuarantineReason.NO_PRICE
    named = [versions.get(one) if one else None for one in ids]
    for kind, one in zip(TOKEN_KINDS, named, strict=True):
        kinds = (kind, "input") if kind == "cached" else (kind,)
        products = [f"tokens:{record.slug}:{name}" for name in kinds]
        if one is not None and (one.currency != record.currency or one.product not in products):
            return QuarantineReason.NO_PRICE
    rates = tuple(rating.token_rate(one.unit_price) if one else 0 for one in named)
    is_sold = tuple(one is not None or not record.is_metered for one in named)
    spelled = "{" + ",".join([one.uuid.hex if one else "NULL" for one in named]) + "}"
    return Terms(team.hex, transactions[team].hex, spelled, rates, is_sold)


def _row(record: TokenUsage, terms: Terms | QuarantineReason) -> tuple[Any, ...] | QuarantineReason:
    """The record as a row, or why it is not charged."""
    counts = record.counts
    if isinstance(terms, QuarantineReason):
        return terms
    if min(counts) < 0 or max(counts) > MOST_TOKENS or record.finished_at < record.started_at:
        return QuarantineReason.QUANTITY
    if not all(terms.is_sold) and any(map(_is_unsold, counts, terms.is_sold)):
        return QuarantineReason.NO_PRICE
    picos = rating.token_picos(terms.rates, counts)
    if rating.of_picos(sum(picos)) != record.amount:
        return QuarantineReason.AMOUNT
    return (
        record.request_id.hex, terms.team, _hex("wks", record.workspace_id), _hex("key", record.key_id),
        _hex("end", record.endpoint_id), _hex("rep", record.replica_id), record.slug[:80],
        record.digest[:80], record.outcome[:20], record.stream, *counts,
        *[f"{one}e-12" for one in picos], record.currency, terms.version_ids, _hex("lse", record.lease_id),
        record.started_at, record.finished_at, terms.transaction, record.first_ms,
    )  # fmt: skip


def _is_unsold(count: int, is_sold: bool) -> bool:
    return count > 0 and not is_sold


def _conflicts(checked: Checked, columns: Sequence[str]) -> list[Refused]:
    """Records whose id was known for other content."""
    ids = [row[0].int for row in statements.fetch_all(_CONFLICTS, columns)]
    return [_refused(checked.records[one], QuarantineReason.CONFLICT) for one in ids]


def _refused(record: TokenUsage, reason: QuarantineReason) -> Refused:
    payload = {
        "request_id": str(record.request_id), "team_id": record.team_id, "workspace_id": record.workspace_id,
        "key_id": record.key_id, "endpoint_id": record.endpoint_id, "replica_id": record.replica_id,
        "slug": record.slug, "digest": record.digest, "stream": record.stream,
        "counts": list(record.counts), "amount": str(record.amount), "currency": record.currency,
        "price_version_ids": list(record.price_version_ids), "outcome": record.outcome,
        "started_at": record.started_at.isoformat(), "finished_at": record.finished_at.isoformat(),
    }  # fmt: skip
    return Refused(SOURCE, str(record.request_id), record.team_id, "tokens", reason, payload)


def _book(used: Sequence[Used], wallets: dict[UUID, Wallet], records: Iterable[TokenUsage]) -> None:
    """Rated lines, sums by day, one transaction per team, the leases lowered by what they covered, and what
    providers charge us for it."""
    batch, now = Batch(), db_now()
    leases = {one.lease for one in used if one.lease}
    holds = {
        decode("lse", hold.resource_id): hold
        for hold in Hold.objects.filter(pk__in=[encode("lse", one) for one in leases])
    }
    _note_lines(batch, used)
    provided.note(batch=batch, records=records, transactions={one.transaction for one in used})
    for team in sorted({one.team for one in used}):
        mine = [one for one in used if one.team == team]
        _charge(batch, mine, wallets[team], holds, now)
    booking.write(batch)
    spent = [(_spender(one), one.amount) for one in used if one.amount and wallets[one.team].is_budgeted]
    budgets.note(spent=spent, now=now)


def _spender(one: Used) -> Spender:
    key = encode("key", one.key) if one.key else None
    resource = encode("end", one.endpoint) if one.endpoint else None
    return Spender(encode("team", one.team), encode("wks", one.workspace), key, resource)


def _note_lines(batch: Batch, used: Sequence[Used]) -> None:
    """One line per place, product, version and day, whichever keys and leases it was used with: so that the
    requests behind a line can be told."""
    sums: dict[tuple[Any, ...], tuple[datetime, Decimal, Decimal]] = {}
    for one in used:
        resource = encode("end", one.endpoint) if one.endpoint else one.slug
        parts = zip(TOKEN_KINDS, one.versions, one.counts, one.amounts, strict=True)
        for kind, version, count, amount in parts:
            if count and version is not None:
                product = f"tokens:{one.slug}:{kind}"
                key = (one.transaction, one.team, one.workspace, resource, product, version, one.day)
                first, counted, cost = sums.get(key, (one.first_at, ZERO, ZERO))
                sums[key] = (min(first, one.first_at), counted + count, cost + amount)
    for (posted, *where, product, version, _day), (first, count, amount) in sums.items():
        price = _known_versions[encode("prv", version)].unit_price
        units = (ZERO, count / TOKENS_PER_PRICE, price, None, amount, None)
        batch.lines.append((None, None, posted, *where, product, UNIT, version, first, *units))


def _charge(
    batch: Batch, used: Sequence[Used], wallet: Wallet, holds: dict[UUID, Hold], now: datetime
) -> None:
    """One transaction for all of a team's requests, paid from its leases first, then from what is free."""
    amount = sum((one.amount for one in used), ZERO)
    if not amount:
        return
    team, covered = used[0].team, ZERO
    own = {lease: hold for lease, hold in holds.items() if hold.team_id == wallet.team_id}
    for one in used:
        if one.lease in own:
            part = min(own[one.lease].amount, one.amount)
            own[one.lease].amount -= part
            covered += part
    batch.holds += [(hold.resource_id, team, hold.amount, hold.expires_at) for hold in own.values()]
    requests = sum(one.requests for one in used)
    texts = Texts(used[0].transaction, now, "tokens", f"{requests} requests")
    charge_usage(batch, wallet, texts=texts, amount=amount, covered=covered)
