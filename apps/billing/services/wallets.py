"""Wallets: opened with the team, filled by staff."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.errors import RepeatedReference
from apps.billing.models import AccountKind, Posting, Transaction, TransactionKind, Wallet
from apps.billing.services.booking import Batch, write
from apps.billing.specs import EPOCH, derived_uuid
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid
from apps.core.ids import decode, new_uuid
from apps.core.money import ZERO, minor_digits, plain
from apps.core.permissions import Permission
from apps.operations.services import emit
from apps.teams.models import Team

MOST = Decimal(10) ** 9

SOURCES = {TransactionKind.TOP_UP: AccountKind.FUNDING, TransactionKind.GRANT: AccountKind.GRANTS}


@dataclass(frozen=True, slots=True)
class Credit:
    """Money for a wallet, why, and under which reference; `at` only for what happened in the past."""

    kind: TransactionKind
    amount: Decimal
    reason: str
    reference: str = ""
    at: datetime | None = None


_OPEN = """
WITH account AS (
    INSERT INTO billing_account (id, kind, currency, team_id)
    SELECT %(account)s, 'customer', currency, id FROM teams_team WHERE id = %(team)s
    ON CONFLICT DO NOTHING RETURNING id, currency, team_id)
INSERT INTO billing_wallet (team_id, account_id, currency, balance, held, credit_limit)
SELECT team_id, id, currency, 0, 0, 0 FROM account ON CONFLICT DO NOTHING
"""


def ensure_wallet(*, team_id: UUID) -> None:
    """Open the team's wallet, empty and without credit, in the team's currency; nothing if it has one."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, {"account": new_uuid(), "team": team_id})


@transaction.atomic
def top_up(*, actor: Actor, team: Team, amount: Decimal, reason: str, reference: str = "") -> Transaction:
    """Add a payment that staff has received; the same reference again changes nothing."""
    what = Credit(TransactionKind.TOP_UP, amount, reason, reference)
    return credit(actor=actor, team=team, what=what)


@transaction.atomic
def grant_credit(
    *, actor: Actor, team: Team, amount: Decimal, reason: str, reference: str = ""
) -> Transaction:
    """Give the team credit at our own expense; the same reference again changes nothing."""
    what = Credit(TransactionKind.GRANT, amount, reason, reference)
    return credit(actor=actor, team=team, what=what)


@transaction.atomic
def set_credit_limit(*, actor: Actor, team: Team, amount: Decimal) -> Wallet:
    """Let the team spend this much more than it has paid."""
    actor.require(Permission.WALLET_CREDIT)
    _check_amount(amount, "", is_zero_allowed=True)
    wallet: Wallet = Wallet.objects.select_for_update().get(team=team)
    if wallet.balance - wallet.held + amount < 0:
        raise Conflict(_("The team already uses more than this credit."), code="limit_in_use", field="amount")
    before, wallet.credit_limit = wallet.credit_limit, amount
    wallet.save(update_fields=["credit_limit"])
    audit.record(
        actor=actor, action="wallet.limit_set", target=wallet, before=plain(before), after=plain(amount)
    )
    emit(type="wallet.limit_set", subject=team.pk, team_id=team.pk, data={"credit_limit": plain(amount)})
    return wallet


def credit(*, actor: Actor, team: Team, what: Credit) -> Transaction:
    """Book money for a team, once per kind and reference."""
    actor.require(Permission.WALLET_CREDIT)
    now = what.at or db_now()
    wallet: Wallet = Wallet.objects.select_for_update().get(team=team)
    _check_amount(what.amount, wallet.currency)
    tx = derived_uuid(EPOCH, what.kind, team.pk, what.reference) if what.reference else new_uuid()
    batch, team_uuid = Batch(), decode("team", team.pk)
    texts = (what.reference[:120], what.reason[:200], actor.label[:200])
    batch.post(
        (tx, str(what.kind), team_uuid, wallet.currency, *texts, now),
        (decode("acc", wallet.account_id), team_uuid, what.amount),
        (batch.business_account(SOURCES[what.kind], wallet.currency), None, -what.amount),
    )
    is_new = write(batch) == 1
    made = Transaction.objects.get(pk=tx)
    if not is_new:
        return _same_as_before(made, what.amount)
    write(Batch(wallets=[(team_uuid, what.amount, ZERO)]))
    shown = plain(what.amount)
    audit.record(
        actor=actor,
        action=f"wallet.{what.kind}",
        target=wallet,
        amount=shown,
        reason=what.reason,
        transaction=made.pk,
    )
    emit(type=f"wallet.{what.kind}", subject=team.pk, team_id=team.pk, data={"amount": shown})
    return made


def _same_as_before(made: Transaction, amount: Decimal) -> Transaction:
    if not Posting.objects.filter(transaction=made, team_id=made.team_id, amount=amount).exists():
        raise RepeatedReference(
            _("This reference was used for another amount."), field="reference", transaction=made.pk
        )
    return made


def _check_amount(amount: Decimal, currency: str, *, is_zero_allowed: bool = False) -> None:
    if not amount.is_finite() or amount < 0 or (amount == 0 and not is_zero_allowed) or amount > MOST:
        raise Invalid(_("The amount must be positive, and at most a billion."), field="amount")
    if currency and amount != amount.quantize(Decimal(1).scaleb(-minor_digits(currency))):
        raise Invalid(
            _("%(currency)s has %(digits)s decimals.")
            % {"currency": currency, "digits": minor_digits(currency)},
            field="amount",
        )
