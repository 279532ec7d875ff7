"""Which of the token requests that a gateway reports can be charged, at which rates, and why others cannot.

Thousands of requests come under few terms. Terms are looked at one by one; requests are by columns, all at
once, and one by one only where a column shows that something is wrong with one of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import compress
from operator import gt, itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from apps.billing.models import PriceVersion, Wallet
from apps.billing.rating import token_cost, token_picos, token_rate, token_rates
from apps.billing.services.quarantine import Refused
from apps.billing.specs import TOKEN_KINDS, TokenTerms, TokenUsage
from apps.billing.states import QuarantineReason
from apps.core import statements
from apps.core.clock import at_microseconds
from apps.core.ids import decode, new_uuid

SOURCE = "gateway"
MOST_TOKENS = 10**10
_cut = itemgetter(slice(20))

# Ids of a request's terms, and their prefixes.
_PLACES = {
    "workspace_id": "wks", "key_id": "key", "endpoint_id": "end", "replica_id": "rep", "lease_id": "lse",
}  # fmt: skip
_OF_TERMS = dict.fromkeys(("transaction_id", "team_id", *_PLACES), "uuid") | dict.fromkeys(
    ("currency", "slug", "digest", "version_ids"), "text"
)
_NUMBERS = {
    **dict.fromkeys(("terms", *TOKEN_KINDS), "bigint"),
    **dict.fromkeys([f"{kind}_picos" for kind in TOKEN_KINDS], "numeric"),
    "started_us": "bigint",
    "finished_us": "bigint",
    "stream": "boolean",
    "first_ms": "integer",
}
_OWN = {"request_id": "uuid", "outcome": "text", **_NUMBERS}


def _unnested(kinds: Mapping[str, str]) -> str:
    return f"unnest({', '.join(f'%s::{kind}[]' for kind in kinds.values())})"


# For PostgreSQL, what `Checked.arrays` hold: requests, each beside its terms, which it names by their number.
ROWS = (
    f"(SELECT * FROM {_unnested(_OWN)} AS own ({', '.join(_OWN)})"  # noqa: S608 - made of this page
    f" JOIN {_unnested(_OF_TERMS)} WITH ORDINALITY AS t ({', '.join(_OF_TERMS)}, terms) USING (terms)) AS s"
)


@dataclass(frozen=True, slots=True)
class Priced:
    """What is needed of a price version to charge tokens; versions never change, so it may be kept."""

    uuid: UUID
    product: str
    currency: str
    unit_price: Decimal


class Rating(NamedTuple):
    """How requests under some terms are charged: the terms as a row, and kind by kind the rate, and why
    tokens of the kind cannot be charged."""

    row: tuple[UUID | str | None, ...]
    rates: tuple[int, ...]
    wrong: tuple[QuarantineReason | None, ...]


class Columns(NamedTuple):
    """The fields of some requests, each for all of them."""

    shared: dict[int, TokenTerms]  # the terms, each once, by their identity
    terms: tuple[TokenTerms, ...]
    request_ids: tuple[bytes, ...]
    counts: list[tuple[int, ...]]
    started_us: tuple[int, ...]
    finished_us: tuple[int, ...]
    outcomes: tuple[str, ...]
    streams: tuple[bool, ...]
    first_ms: tuple[int | None, ...]

    @classmethod
    def of(cls, records: Sequence[TokenUsage]) -> "Columns":
        columns: list[tuple[Any, ...]] = list(zip(*records, strict=True)) or [()] * len(TokenUsage._fields)
        terms, request_ids, *counts, started, finished, outcomes, streams, firsts = columns
        shared = dict(zip(map(id, terms), terms, strict=True))
        return cls(shared, terms, request_ids, counts, started, finished, outcomes, streams, firsts)


@dataclass(frozen=True, slots=True)
class Checked:
    """A batch after it was looked at: what can be charged, each id once, and how its terms (by their
    identity) are rated; what is refused, and how often an id stood there again."""

    records: Sequence[TokenUsage]
    columns: Columns
    ratings: dict[int, Rating]
    refused: list[Refused]
    repeats: int

    def arrays(self) -> list[str]:
        """The columns of `ROWS`."""
        columns, keys = self.columns, list(map(id, self.columns.terms))
        places = {key: number for number, key in enumerate(self.ratings, 1)}
        picos = []
        for kind, column in enumerate(columns.counts):
            rates = {key: rating.rates[kind] for key, rating in self.ratings.items()}
            picos.append(token_picos(map(rates.__getitem__, keys), column) if any(column) else column)
        numbers = (
            list(map(places.__getitem__, keys)), *columns.counts, *picos, columns.started_us,
            columns.finished_us, columns.streams, columns.first_ms,
        )  # fmt: skip
        spelled = zip(_NUMBERS.values(), numbers, strict=True)
        return [
            "{" + b"".join(columns.request_ids).hex(",", -16) + "}",
            statements.array("text", list(map(_cut, columns.outcomes))),
            *(statements.array(kind, column) for kind, column in spelled),
            *statements.arrays(list(_OF_TERMS.values()), [rating.row for rating in self.ratings.values()]),
        ]


def check(
    records: Sequence[TokenUsage],
    columns: Columns,
    versions: Mapping[str, Priced],
    wallets: Mapping[UUID, Wallet],
) -> Checked:
    """Look at a batch; what a team is charged for it goes into one transaction."""
    transactions = {team: new_uuid() for team in wallets}
    rated = {key: _rating(terms, versions, wallets, transactions) for key, terms in columns.shared.items()}
    ratings = {key: rating for key, rating in rated.items() if isinstance(rating, Rating)}
    is_plain = len(ratings) == len(rated) and _are_believable(columns, ratings)
    if is_plain and len(set(columns.request_ids)) == len(records):
        return Checked(records, columns, ratings, [], 0)
    reasons = [_reason(record, rated[id(record.terms)]) for record in records]
    found = [refused(one, reason) for one, reason in zip(records, reasons, strict=True) if reason]
    good = [one for one, reason in zip(records, reasons, strict=True) if not reason]
    once = {record.request_id: record for record in reversed(good)}
    others = [one for one in good if once[one.request_id] != one]
    found += [refused(one, QuarantineReason.CONFLICT) for one in others]
    repeats = len(good) - len(once) - len(others)
    records = list(once.values())
    return Checked(records, Columns.of(records), ratings, found, repeats)


def _are_believable(columns: Columns, ratings: Mapping[int, Rating]) -> bool:
    """Whether there is nothing wrong with any of the records: what `_reason` asks, of all at once."""
    counts = columns.counts
    if min(map(min, counts)) < 0 or max(map(max, counts)) > MOST_TOKENS:
        return False
    if any(map(gt, columns.started_us, columns.finished_us)):
        return False
    for kind, column in enumerate(counts):
        wrong = {key for key, rating in ratings.items() if rating.wrong[kind]}
        if wrong and any(column) and any(compress(column, map(wrong.__contains__, map(id, columns.terms)))):
            return False
    return True


def _reason(record: TokenUsage, rated: Rating | QuarantineReason) -> QuarantineReason | None:
    """Why the record cannot be charged, if it cannot."""
    if not isinstance(rated, Rating):
        return rated
    counts = record.counts
    if min(counts) < 0 or max(counts) > MOST_TOKENS or record.finished_us < record.started_us:
        return QuarantineReason.QUANTITY
    return next(filter(None, compress(rated.wrong, counts)), None)


def _rating(
    terms: TokenTerms,
    versions: Mapping[str, Priced],
    wallets: Mapping[UUID, Wallet],
    transactions: Mapping[UUID, UUID],
) -> Rating | QuarantineReason:
    """The terms' rating, or why they cannot be the team's and the model's."""
    prices = terms.prices
    try:
        team = decode("team", terms.team_id)
        ids = [getattr(terms, name) for name in _PLACES]
        places = [
            decode(prefix, one) if one else None for prefix, one in zip(_PLACES.values(), ids, strict=True)
        ]
    except ValueError:
        return QuarantineReason.MALFORMED
    if team not in wallets:
        return QuarantineReason.UNKNOWN_TEAM
    if prices.currency != wallets[team].currency:
        return QuarantineReason.CURRENCY
    named = [versions.get(one) if one else None for one in prices.version_ids]
    if len(named) != len(TOKEN_KINDS) or (any(prices.version_ids) and not terms.is_metered):
        return QuarantineReason.NO_PRICE
    for kind, one in zip(TOKEN_KINDS, named, strict=True):
        kinds = (kind, "input") if kind == "cached" else (kind,)
        products = [f"tokens:{terms.slug}:{name}" for name in kinds]
        if one is not None and (one.currency != prices.currency or one.product not in products):
            return QuarantineReason.NO_PRICE
    rates = tuple(token_rate(one.unit_price) if one else 0 for one in named)
    told = token_rates(prices)
    wrong = tuple(
        QuarantineReason.NO_PRICE if one is None and terms.is_metered
        else QuarantineReason.AMOUNT if rate != told_rate
        else None
        for one, rate, told_rate in zip(named, rates, told, strict=True)
    )  # fmt: skip
    version_ids = "{" + ",".join([one.uuid.hex if one else "NULL" for one in named]) + "}"
    texts = (prices.currency, terms.slug[:80], terms.digest[:80], version_ids)
    return Rating((transactions[team], team, *places, *texts), rates, wrong)


_known_versions: dict[str, Priced] = {}


def versions_of(shared: Iterable[TokenTerms]) -> Mapping[str, Priced]:
    """The price versions that terms name, as far as there are such; and others."""
    wanted = {version for terms in shared for version in terms.prices.version_ids if version}
    missing = [version for version in wanted - _known_versions.keys() if _is_id(version)]
    if missing:
        for row in PriceVersion.objects.filter(pk__in=missing):
            _known_versions[row.pk] = Priced(decode("prv", row.pk), row.product, row.currency, row.unit_price)
    return _known_versions


def _is_id(text: str) -> bool:
    try:
        decode("prv", text)
    except ValueError:
        return False
    return True


def refused(record: TokenUsage, reason: QuarantineReason) -> Refused:
    """The record as it is set aside."""
    terms, request_id = record.terms, str(UUID(bytes=record.request_id))
    payload = {
        "request_id": request_id, "team_id": terms.team_id, "workspace_id": terms.workspace_id,
        "key_id": terms.key_id, "endpoint_id": terms.endpoint_id, "replica_id": terms.replica_id,
        "slug": terms.slug, "digest": terms.digest, "stream": record.stream,
        "counts": list(record.counts), "amount": str(token_cost(terms.prices, record.counts)),
        "currency": terms.prices.currency, "price_version_ids": list(terms.prices.version_ids),
        "outcome": record.outcome, "started_at": at_microseconds(record.started_us).isoformat(),
        "finished_at": at_microseconds(record.finished_us).isoformat(),
    }  # fmt: skip
    return Refused(SOURCE, request_id, terms.team_id, "tokens", reason, payload)
