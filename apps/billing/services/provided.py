"""What external providers charge us for the tokens they answer with, booked while usage is settled.

By the rates that staff has entered, in the transaction that settles: each request costs once, however often
it is told. What a bill says beyond it is recorded as its difference (`costs.record_cost`).
"""

from collections.abc import Iterable
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import AccountKind, ProviderRate, TransactionKind
from apps.billing.services.booking import Batch
from apps.billing.services.prices import CURRENCY
from apps.billing.services.token_checks import Columns
from apps.billing.specs import TokenRate
from apps.core import statements
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Invalid
from apps.core.ids import decode, encode, new_uuid
from apps.core.money import plain
from apps.core.permissions import Permission

MOST = Decimal(10) ** 6

_RATED = "SELECT DISTINCT replica_id FROM billing_providerrate WHERE replica_id = ANY(%s::uuid[])"
# The requests that are new, by the rate that was in force when each began, to twelve decimals.
_ADD_UP = """
WITH spent AS (
    SELECT t.replica_id, (t.started_at AT TIME ZONE 'UTC')::date AS day, r.currency,
           'tokens:' || t.slug || ':' || k.kind AS product, sum(k.tokens) AS tokens,
           round(sum(k.tokens * k.price) / 1000000, 12) AS amount
      FROM billing_tokenrequest t
     CROSS JOIN LATERAL (SELECT * FROM billing_providerrate r
                          WHERE r.replica_id = t.replica_id AND r.at <= t.started_at
                          ORDER BY r.at DESC, r.id DESC LIMIT 1) r
     CROSS JOIN LATERAL (VALUES ('input', t.input, r.input), ('cached', t.cached, r.cached),
                                ('output', t.output, r.output), ('embedding', t.embedding, r.input)
                        ) k (kind, tokens, price)
     WHERE t.request_id = ANY(%s::uuid[]) AND t.transaction_id = ANY(%s::uuid[]) AND k.tokens > 0
     GROUP BY 1, 2, 3, 4
), days AS (
    INSERT INTO billing_providerday AS old (replica_id, day, currency, product, tokens, amount)
    SELECT replica_id, day, currency, product, tokens, amount FROM spent ORDER BY 2, 3, 1, 4
    ON CONFLICT (day, currency, replica_id, product) DO UPDATE
       SET tokens = old.tokens + excluded.tokens, amount = old.amount + excluded.amount
)
SELECT currency, sum(amount) FROM spent GROUP BY 1 HAVING sum(amount) > 0 ORDER BY 1
"""


@transaction.atomic
def set_rate(*, actor: Actor, replica_id: str, rate: TokenRate) -> None:
    """From now on the provider charges this; the same again changes nothing."""
    actor.require(Permission.ENDPOINT_UPDATE)
    if not CURRENCY.fullmatch(rate.currency):
        raise Invalid(_("A currency has three capital letters."), field="currency")
    if not all(price.is_finite() and 0 <= price <= MOST for price in rate.prices):
        raise Invalid(_("A price is not below zero, and at most a million."), field="input")
    known = rate_of(replica_id)
    if known is not None and TokenRate(known.currency, known.input, known.cached, known.output) == rate:
        return
    made = ProviderRate(
        replica_id=replica_id, currency=rate.currency, at=db_now(), created_by=actor.label[:200]
    )
    made.input, made.cached, made.output = rate.prices
    made.save(force_insert=True)
    audit.record(
        actor=actor,
        action="provider_rate.set",
        target=made,
        replica=replica_id,
        currency=rate.currency,
        prices=[plain(price) for price in rate.prices],
    )


def rate_of(replica_id: str) -> ProviderRate | None:
    """What it charges now, as far as anybody has said."""
    found: ProviderRate | None = ProviderRate.objects.filter(replica_id=replica_id).first()
    return found


def note(*, batch: Batch, columns: Columns, transactions: Iterable[UUID]) -> None:
    """Book what the new requests of these cost us; new are those that belong to the transactions."""
    replicas = {terms.replica_id for terms in columns.shared.values() if terms.replica_id}
    named = statements.array("uuid", [decode("rep", replica) for replica in replicas])
    rated = {encode("rep", replica) for (replica,) in statements.fetch_all(_RATED, [named])}
    if not rated:
        return
    pairs = zip(columns.terms, columns.request_ids, strict=True)
    ids = [request_id.hex() for terms, request_id in pairs if terms.replica_id in rated]
    now = db_now()
    for currency, amount in statements.fetch_all(_ADD_UP, [ids, list(transactions)]):
        batch.post(
            (new_uuid(), str(TransactionKind.PROVIDER_COST), None, currency, "tokens", "", "", now),
            (batch.business_account(AccountKind.PROVIDER_COST, currency), None, -amount),
            (batch.business_account(AccountKind.PROVIDERS, currency), None, amount),
        )
