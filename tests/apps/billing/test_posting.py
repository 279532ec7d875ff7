"""Entries besides usage: booked once, balanced, and never beyond what a wallet covers."""

from dataclasses import replace
from decimal import Decimal

import pytest

from apps.billing.errors import NoHeadroom, RepeatedReference
from apps.billing.models import AccountKind, Posting, Transaction, TransactionKind
from apps.billing.selectors import ledger, rated
from apps.billing.services import charging, posting
from apps.billing.services.posting import Entry
from apps.billing.specs import Rate
from apps.core.actor import SYSTEM
from apps.core.errors import NotFound
from apps.core.ids import new_id
from tests.factories.billing import START, after, begin, make_price, make_team, resource, wallet_of

pytestmark = pytest.mark.django_db
PAYMENT = Entry(
    TransactionKind.PAYMENT, "pi_1", {AccountKind.CUSTOMER: Decimal(5), AccountKind.CLEARING: Decimal(-5)}
)
DISPUTE = Entry(
    TransactionKind.DISPUTE, "dp_1", {AccountKind.CUSTOMER: Decimal(-8), AccountKind.CLEARING: Decimal(8)}
)


def test_an_entry_is_booked_once_per_kind_and_reference():
    team = make_team()
    first = posting.book(team_id=team.pk, entry=PAYMENT, by="test")
    again = posting.book(team_id=team.pk, entry=PAYMENT, by="test")
    assert (first.is_new, again.is_new, again.change) == (True, False, 5)
    assert first.transaction.pk == again.transaction.pk
    other = {AccountKind.CUSTOMER: Decimal(6), AccountKind.CLEARING: Decimal(-6)}
    with pytest.raises(RepeatedReference):
        posting.book(team_id=team.pk, entry=replace(PAYMENT, legs=other), by="test")
    assert wallet_of(team).balance == 5
    assert Transaction.objects.count() == 1


def test_what_a_wallet_does_not_cover_is_refused_or_goes_where_the_entry_says():
    team = make_team("5")
    with pytest.raises(NoHeadroom):
        posting.book(team_id=team.pk, entry=DISPUTE, by="test")
    uncovered = replace(DISPUTE, shortfall=AccountKind.RECEIVABLE)
    booked = posting.book(team_id=team.pk, entry=uncovered, by="test")
    assert (booked.change, wallet_of(team).balance) == (-5, 0)
    assert posting.book(team_id=team.pk, entry=uncovered, by="test").is_new is False
    totals = {row.kind: row.balance for row in ledger.account_totals(SYSTEM)}
    assert totals == {"customer": 0, "funding": -5, "payment_clearing": 8, "receivable": -3}


def test_our_own_accounts_balance_without_a_team():
    payout = Entry(
        TransactionKind.PAYOUT, "po_1", {AccountKind.CLEARING: Decimal(5), AccountKind.FUNDING: Decimal(-5)}
    )
    assert posting.book_own(currency="EUR", entry=payout, by="test").is_new
    assert not posting.book_own(currency="EUR", entry=payout, by="test").is_new
    assert set(Posting.objects.values_list("team_id", flat=True)) == {None}
    with pytest.raises(ValueError, match="belongs to a team"):
        posting.book_own(currency="EUR", entry=PAYMENT, by="test")
    with pytest.raises(NotFound):
        posting.book(team_id=new_id("team"), entry=PAYMENT, by="test")


def test_rated_usage_has_one_shape():
    make_price("type:small", "3.6")
    team, machine = make_team("10"), resource()
    begin(team, machine, Rate("type:small", Decimal(2)))
    charging.end(resource_id=machine, now=after(minutes=30))
    (row,) = rated.for_period(team.pk, START, after(hours=1))
    assert (row.unit, row.quantity, row.unit_price, row.amount) == ("hour", 1, Decimal("3.6"), Decimal("3.6"))
    assert (row.resource, row.workspace_id) == (machine, team.workspaces.get().pk)
    assert list(rated.for_period(team.pk, after(hours=1), after(hours=2))) == []
