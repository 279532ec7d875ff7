"""What the gateway says to billing: what tokens cost, let me spend so much, this is what was used.

`price_table` once per change, `lease`/`renew`/`release` per team or key and minute, `settle` per batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.billing.models import Hold, Wallet
from apps.billing.rating import token_cost
from apps.billing.selectors.tokens import price_table
from apps.billing.services import booking, budgets, provided, quarantine
from apps.billing.services.booking import Batch, Texts, charge_usage
from apps.billing.services.leases import lease, release, renew
from apps.billing.services.quarantine import Refused
from apps.billing.services.token_checks import (
    ROWS,
    SOURCE,
    Checked,
    Columns,
    Priced,
    check,
    refused,
    versions_of,
)
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
from apps.core.clock import db_now
from apps.core.failpoints import failpoint
from apps.core.ids import decode, encode
from apps.core.money import ZERO

__all__ = [
    "SOURCE",
    "Lease",
    "PriceTable",
    "Settled",
    "TokenPrices",
    "TokenTerms",
    "TokenUsage",
    "lease",
    "price_table",
    "release",
    "renew",
    "settle",
    "token_cost",
]

UNIT = "1M tokens"

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
    INSERT INTO billing_tokenrequest ({_NAMES}) SELECT {_VALUES} FROM {ROWS} ORDER BY request_id
    ON CONFLICT (request_id) DO NOTHING RETURNING *)
SELECT team_id, workspace_id, key_id, endpoint_id, slug, version_ids, lease_id, transaction_id,
       (started_at AT TIME ZONE 'UTC')::date, min(started_at), count(*),
       ARRAY[sum(input), sum(cached), sum(output), sum(embedding)],
       ARRAY[sum(input_amount), sum(cached_amount), sum(output_amount), sum(embedding_amount)]
  FROM new GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
"""  # noqa: S608 - made of this page

_CONFLICTS = f"""
SELECT s.request_id FROM {ROWS} JOIN billing_tokenrequest t USING (request_id)
 WHERE (s.team_id, s.slug, s.input, s.cached, s.output, s.embedding, s.outcome, s.key_id,
        s.version_ids::uuid[])
       IS DISTINCT FROM
       (t.team_id, t.slug, t.input, t.cached, t.output, t.embedding, t.outcome, t.key_id, t.version_ids)
"""  # noqa: S608 - made of this page


@dataclass(frozen=True, slots=True)
class Used:
    """The new requests of one team, key, endpoint, price, lease and day, added up."""

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


def settle(records: Sequence[TokenUsage]) -> Settled:
    """Charge what was used: each request id once, one ledger transaction per team, whole or not at all.

    The same records again are duplicates and change nothing; other content under a known id, and what
    cannot be believed, is quarantined. May be repeated, and cut short at any moment.
    """
    if not records:
        return Settled(0, 0)
    columns = Columns.of(records)
    shared = columns.shared.values()
    versions = versions_of(shared)
    with transaction.atomic():
        wallets = _lock_wallets(shared)
        checked = check(records, columns, versions, wallets)
        arrays = checked.arrays()
        used = [Used(*row) for row in statements.fetch_all(_INSERT, arrays)]
        failpoint("billing.tokens.inserted")
        counted = sum(one.requests for one in used)
        known = len(checked.records) - counted
        conflicts = _conflicts(checked, arrays) if known else []
        quarantine.put(checked.refused + conflicts)
        if used:
            _book(used, wallets, versions, checked.columns)
        failpoint("billing.tokens.booked")
    duplicates = known - len(conflicts) + checked.repeats
    return Settled(counted, duplicates, len(checked.refused) + len(conflicts))


@transaction.atomic
def set_aside(*, place: str, held: bytes) -> None:
    """Keep for a person what a gateway has noted at that place and nobody can read. May be repeated."""
    payload = {"place": place, "held": held.hex()}
    quarantine.put([Refused(SOURCE, place, None, "tokens", QuarantineReason.MALFORMED, payload)])


def _lock_wallets(shared: Iterable[TokenTerms]) -> dict[UUID, Wallet]:
    """The wallets of the teams, locked in order; those of unknown teams are missing."""
    teams = set()
    for team_id in {terms.team_id for terms in shared}:
        try:
            teams.add(decode("team", team_id))
        except ValueError:
            continue
    wanted = "t.team_id = ANY(%s::uuid[]) ORDER BY t.team_id FOR UPDATE"
    rows = statements.select_all(Wallet, wanted, [statements.array("uuid", teams)])
    return {decode("team", wallet.team_id): wallet for wallet in rows}


def _conflicts(checked: Checked, arrays: Sequence[str]) -> list[Refused]:
    """Records whose id was known for other content."""
    records = {record.request_id: record for record in checked.records}
    ids = [row[0].bytes for row in statements.fetch_all(_CONFLICTS, arrays)]
    return [refused(records[one], QuarantineReason.CONFLICT) for one in ids]


def _book(
    used: Sequence[Used],
    wallets: Mapping[UUID, Wallet],
    versions: Mapping[str, Priced],
    columns: Columns,
) -> None:
    """Rated lines, sums by day, one transaction per team, the leases lowered by what they covered, and what
    providers charge us for it."""
    batch, now = Batch(), db_now()
    holds = _holds(used)
    by_team: dict[UUID, list[Used]] = {}
    for one in used:
        by_team.setdefault(one.team, []).append(one)
    _note_lines(batch, used, versions)
    provided.note(batch=batch, columns=columns, transactions={one.transaction for one in used})
    for team, own in sorted(by_team.items()):
        _charge(batch, own, wallets[team], holds, now)
    booking.write(batch)
    spent = [(_spender(one), one.amount) for one in used if one.amount and wallets[one.team].is_budgeted]
    budgets.note(spent=spent, now=now)


def _holds(used: Iterable[Used]) -> dict[UUID, Hold]:
    """The leases that were drawn on, as far as they are there."""
    leases = [encode("lse", lease) for lease in {one.lease for one in used if one.lease}]
    if not leases:
        return {}
    rows = statements.select_all(Hold, "t.resource_id = ANY(%s::text[])", [statements.array("text", leases)])
    return {decode("lse", hold.resource_id): hold for hold in rows}


def _spender(one: Used) -> Spender:
    key = encode("key", one.key) if one.key else None
    resource = encode("end", one.endpoint) if one.endpoint else None
    return Spender(encode("team", one.team), encode("wks", one.workspace), key, resource)


def _note_lines(batch: Batch, used: Sequence[Used], versions: Mapping[str, Priced]) -> None:
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
        price = versions[encode("prv", version)].unit_price
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
    own = {}
    for one in used:
        hold = holds.get(one.lease) if one.lease else None
        if hold is not None and hold.team_id == wallet.team_id:
            part = min(hold.amount, one.amount)
            hold.amount -= part
            covered += part
            own[hold.resource_id] = hold
    batch.holds += [(hold.resource_id, team, hold.amount, hold.expires_at) for hold in own.values()]
    requests = sum(one.requests for one in used)
    texts = Texts(used[0].transaction, now, "tokens", f"{requests} requests")
    charge_usage(batch, wallet, texts=texts, amount=amount, covered=covered)
