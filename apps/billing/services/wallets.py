"""Wallets: opened with the team, filled by staff."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import AccountKind, Transaction, TransactionKind, Wallet
from apps.billing.services import grants, posting
from apps.billing.services.amounts import check_amount
from apps.billing.services.grants import NewGrant
from apps.billing.services.posting import Entry
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid
from apps.core.ids import new_id, new_uuid
from apps.core.money import plain
from apps.core.permissions import Permission
from apps.operations.services import emit
from apps.teams.models import Team


@dataclass(frozen=True, slots=True)
class Credit:
    """Money for a wallet, why, and under which reference; `at` only for what happened in the past."""

    kind: TransactionKind
    amount: Decimal
    reason: str
    reference: str = ""
    at: datetime | None = None
    expires_at: datetime | None = None


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
    *,
    actor: Actor,
    team: Team,
    amount: Decimal,
    reason: str,
    reference: str = "",
    expires_at: datetime | None = None,
) -> Transaction:
    """Give the team credit at our own expense, for good or until it lapses; once per reference."""
    what = Credit(TransactionKind.GRANT, amount, reason, reference, expires_at=expires_at)
    return credit(actor=actor, team=team, what=what)


@transaction.atomic
def set_credit_limit(*, actor: Actor, team: Team, amount: Decimal) -> Wallet:
    """Let the team spend this much more than it has paid."""
    actor.require(Permission.WALLET_CREDIT)
    wallet: Wallet = Wallet.objects.select_for_update().get(team=team)
    check_amount(amount, wallet.currency, is_zero_allowed=True)
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
    wallet: Wallet = Wallet.objects.select_for_update().get(team=team)
    check_amount(what.amount, wallet.currency)
    made, is_new = _book(actor, team, what)
    if not is_new:
        return made
    shown = plain(what.amount)
    audit.record(
        actor=actor,
        action=f"wallet.{what.kind}",
        target=wallet,
        amount=shown,
        reason=what.reason,
        transaction=made.pk,
    )
    about = {"amount": shown, "currency": wallet.currency}
    emit(type=f"wallet.{what.kind}", subject=team.pk, team_id=team.pk, data=about)
    return made


def _book(actor: Actor, team: Team, what: Credit) -> tuple[Transaction, bool]:
    reference = what.reference or new_id("ref")
    if what.kind == TransactionKind.GRANT:
        if what.expires_at is not None and what.expires_at <= db_now():
            raise Invalid(_("Credit lapses in the future."), field="expires_at")
        new = NewGrant(what.amount, what.reason, reference, expires_at=what.expires_at, at=what.at)
        return grants.give(team_id=team.pk, new=new, by=actor.label)
    legs = {AccountKind.CUSTOMER: what.amount, AccountKind.FUNDING: -what.amount}
    entry = Entry(what.kind, reference, legs, what.reason, what.at)
    booked = posting.book(team_id=team.pk, entry=entry, by=actor.label)
    return booked.transaction, booked.is_new
