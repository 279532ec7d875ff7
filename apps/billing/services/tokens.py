"""What the gateway says to billing: what tokens cost, let me spend so much, this is what was used.

`price_table` once per change, `lease`/`renew`/`release` per team or key and minute, `settle` per batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
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
    TokenTerms,
    TokenUsage,
)  # fmt: skip
from apps.billing.states import QuarantineReason
from apps.core import statements
from apps.core.clock import at_microseconds, db_now
from apps.core.failpoints import failpoint
from apps.core.ids import decode, encode, new_uuid
from apps.core.money import ZERO

__all__ = [
    "Lease",
    "PriceTable",
    "Settled",
    "TokenPrices",
    "TokenTerms",
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

# Ids of a request's terms, and their prefixes.
_PLACES = {
    "workspace_id": "wks", "key_id": "key", "endpoint_id": "end", "replica_id": "rep", "lease_id": "lse",
}  # fmt: skip
# What a row has of its request's terms, which are spelled once for all that share them, and what of its own.
_OF_TERMS = (
    f"transaction_id uuid, team_id uuid, {', '.join(f'{name} uuid' for name in _PLACES)}, currency text,"
    " slug text, digest text, version_ids text"
)
_OWN = (
    "request_id uuid, input bigint, cached bigint, output bigint, embedding bigint, input_picos numeric,"
    " cached_picos numeric, output_picos numeric, embedding_picos numeric, started_us bigint,"
    " finished_us bigint, outcome text, stream boolean, first_ms integer"
)
_TOLD, _KINDS = zip(*[column.split() for column in f"{_OF_TERMS}, {_OWN}".split(",")], strict=True)
_ROWS = f"unnest({', '.join(f'%s::{kind}[]' for kind in _KINDS)}) AS s ({', '.join(_TOLD)})"
# All but the outcome is spelled already, or a number.
_SPELLED = ["text" if name == "outcome" else "" for name in _TOLD]
_NAMES = (
    "request_id, team_id, workspace_id, key_id, endpoint_id, replica_id, slug, digest, outcome, stream,"
    " input, cached, output, embedding, input_amount, cached_amount, output_amount, embedding_amount,"
    " currency, version_ids, lease_id, started_at, finished_at, transaction_id, first_ms"
)
_VALUES = (
    _NAMES.replace("version_ids", "version_ids::uuid[]")
    .replace("_amount", "_picos * 1e-12")
    .replace("started_at", "to_timestamp(started_us / 1e6::float8)")
    .replace("finished_at", "to_timestamp(finished_us / 1e6::float8)")
)

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

    rows: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    records: dict[str, TokenUsage] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    repeats: int = 0


def settle(records: Sequence[TokenUsage]) -> Settled:
    """Charge what was used: each request id once, one ledger transaction per team, whole or not at all.

    The same records again are duplicates and change nothing; other content under a known id, and what
    cannot be believed, is quarantined. May be repeated, and cut short at any moment.
    """
    if not records:
        return Settled(0, 0)
    shared = {id(record.terms): record.terms for record in records}
    versions = _versions(shared.values())
    with transaction.atomic():
        wallets = _lock_wallets(shared.values())
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


def _hex(prefix: str, text: str | None) -> str | None:
    return decode(prefix, text).hex if text else None


_known_versions: dict[str, Priced] = {}


def _versions(shared: Iterable[TokenTerms]) -> dict[str, Priced]:
    wanted = {version for terms in shared for version in terms.price_version_ids if version}
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


def _lock_wallets(shared: Iterable[TokenTerms]) -> dict[UUID, Wallet]:
    """The wallets of the teams, locked in order; those of unknown teams are missing."""
    teams = set()
    for team_id in {terms.team_id for terms in shared}:
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
    known: dict[int, Rating | QuarantineReason] = {}
    for record in records:
        number = record.request_id
        if number in checked.rows:
            if checked.records[number] == record:
                checked.repeats += 1
            else:
                checked.refused.append(_refused(record, QuarantineReason.CONFLICT))
            continue
        terms = record.terms
        rated = known.get(id(terms))
        if rated is None:
            rated = known[id(terms)] = _rating(terms, versions, wallets, transactions)
        row = _row(record, rated) if isinstance(rated, Rating) else rated
        if isinstance(row, QuarantineReason):
            checked.refused.append(_refused(record, row))
        else:
            checked.rows[number] = row
            checked.records[number] = record
    return checked


class Rating(NamedTuple):
    """How requests under some terms are rated: their part of each row, the rates kind by kind, and whether a
    kind is not sold."""

    row: tuple[str, ...]
    rates: tuple[int, ...]
    is_sold: tuple[bool, ...]
    sells_all: bool


def _rating(
    terms: TokenTerms,
    versions: dict[str, Priced],
    wallets: dict[UUID, Wallet],
    transactions: dict[UUID, UUID],
) -> Rating | QuarantineReason:
    """The terms' rating, or why they cannot be the team's and the model's."""
    try:
        team = decode("team", terms.team_id)
        places = [_hex(prefix, getattr(terms, name)) for name, prefix in _PLACES.items()]
    except ValueError:
        return QuarantineReason.MALFORMED
    if team not in wallets:
        return QuarantineReason.UNKNOWN_TEAM
    if terms.currency != wallets[team].currency:
        return QuarantineReason.CURRENCY
    ids = terms.price_version_ids
    if len(ids) != len(TOKEN_KINDS) or (any(ids) and not terms.is_metered):
        return QuarantineReason.NO_PRICE
    named = [versions.get(one) if one else None for one in ids]
    for kind, one in zip(TOKEN_KINDS, named, strict=True):
        kinds = (kind, "input") if kind == "cached" else (kind,)
        products = [f"tokens:{terms.slug}:{name}" for name in kinds]
        if one is not None and (one.currency != terms.currency or one.product not in products):
            return QuarantineReason.NO_PRICE
    rates = tuple(rating.token_rate(one.unit_price) if one else 0 for one in named)
    is_sold = tuple(one is not None or not terms.is_metered for one in named)
    version_ids = "{" + ",".join([one.uuid.hex if one else "NULL" for one in named]) + "}"
    row = (
        *statements.spelled("", [transactions[team].hex, team.hex, *places, terms.currency]),
        *statements.spelled("text", [terms.slug[:80], terms.digest[:80], version_ids]),
    )
    return Rating(row, rates, is_sold, all(is_sold))


def _row(record: TokenUsage, rated: Rating) -> tuple[Any, ...] | QuarantineReason:
    """The record as a row, or why it is not charged."""
    (
        _terms, request_id, into, cached, out, embedding, told, started_us, finished_us,
        outcome, stream, first_ms,
    ) = record  # fmt: skip
    counts = into, cached, out, embedding
    if min(counts) < 0 or max(counts) > MOST_TOKENS or finished_us < started_us:
        return QuarantineReason.QUANTITY
    row, rates, is_sold, sells_all = rated
    if not sells_all and any(map(_is_unsold, counts, is_sold)):
        return QuarantineReason.NO_PRICE
    picos = rating.token_picos(rates, counts)
    if sum(picos) != told:
        return QuarantineReason.AMOUNT
    return (
        *row, request_id, into, cached, out, embedding, *picos,
        started_us, finished_us, outcome[:20], stream, first_ms,
    )  # fmt: skip


def _is_unsold(count: int, is_sold: bool) -> bool:
    return count > 0 and not is_sold


def _conflicts(checked: Checked, columns: Sequence[str]) -> list[Refused]:
    """Records whose id was known for other content."""
    ids = [row[0].hex for row in statements.fetch_all(_CONFLICTS, columns)]
    return [_refused(checked.records[one], QuarantineReason.CONFLICT) for one in ids]


def _refused(record: TokenUsage, reason: QuarantineReason) -> Refused:
    terms, request_id = record.terms, str(UUID(record.request_id))
    payload = {
        "request_id": request_id, "team_id": terms.team_id, "workspace_id": terms.workspace_id,
        "key_id": terms.key_id, "endpoint_id": terms.endpoint_id, "replica_id": terms.replica_id,
        "slug": terms.slug, "digest": terms.digest, "stream": record.stream,
        "counts": list(record.counts), "amount": str(of_picos(record.picos)), "currency": terms.currency,
        "price_version_ids": list(terms.price_version_ids), "outcome": record.outcome,
        "started_at": at_microseconds(record.started_us).isoformat(),
        "finished_at": at_microseconds(record.finished_us).isoformat(),
    }  # fmt: skip
    return Refused(SOURCE, request_id, terms.team_id, "tokens", reason, payload)


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
