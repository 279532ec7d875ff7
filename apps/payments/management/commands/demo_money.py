"""`manage.py demo_money`: a company that bills, a quarter of invoices, payments, and what staff must look at.

Called by `manage.py demo` once its teams have used something. May be run again: nothing happens twice.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from apps.billing.models import PriceVersion, RatedUsage, TransactionKind
from apps.billing.selectors import margin
from apps.billing.selectors.margin import Span
from apps.billing.services import budgeting, charges, costs, events, fees, grants, lists
from apps.billing.services.budgeting import BudgetWish
from apps.billing.services.costs import CostWish
from apps.billing.services.fees import NewCommitment, NewFee, midnight, next_month
from apps.billing.services.grants import NewVoucher
from apps.billing.services.prices import NewPrice, schedule_price
from apps.billing.services.wallets import Credit, credit
from apps.billing.states import BudgetAction, BudgetLevel, BudgetPeriod, FeePeriod
from apps.core import tenancy
from apps.core.actor import PLATFORM, SYSTEM, Actor
from apps.core.clock import db_now
from apps.core.ids import new_id
from apps.core.permissions import GRANTS, Role
from apps.drivers.payments import BalanceLine, DisputeSeen, Outcome
from apps.invoicing import reconcilers as invoicing
from apps.invoicing import services as invoices
from apps.invoicing.models import Invoice, LegalEntity
from apps.invoicing.services.credit_notes import CreditWish
from apps.invoicing.services.parties import Address, EntityWish, TaxWish
from apps.invoicing.specs import GRACE, Period
from apps.invoicing.states import InvoiceState, LineKind
from apps.operations import services as operations
from apps.operations.specs import HookWish
from apps.payments import reconcilers, services
from apps.payments.models import Payment
from apps.payments.selectors import providers
from apps.payments.services import AutoWish, comparing, refunds
from apps.payments.specs import Wish, to_minor
from apps.payments.states import Provider
from apps.teams.models import Team
from apps.users.models import User

MONTHS = 3
CURRENCY = "EUR"
COMPANY = EntityWish(
    name="hostedai Cloud GmbH", street="Torstraße 140", postal_code="10119", city="Berlin", country="DE",
    tax_id="DE300000000", registration="HRB 200000 B, Berlin", email="billing@hostedai.example",
    currency=CURRENCY, number_prefix="HAI", is_default=True,
    bank_details="hostedai Cloud GmbH\nIBAN DE02 1203 0000 0000 2020 51\nBIC BYLADEM1001",
)  # fmt: skip
TAX_RATES = (("DE", "VAT", "0.19"), ("FI", "ALV", "0.255"), ("FR", "TVA", "0.20"), ("SE", "Moms", "0.25"))
ADDRESSES = {
    "Acme Research": Address("Acme Research gGmbH", "DE", "Invalidenstraße 44", "10115", "Berlin",
                             reference="PO 4711"),
    "Nordic Vision": Address("Nordic Vision Oy", "FI", "Mannerheimintie 12", "00100", "Helsinki",
                             tax_id="FI20000000"),
    "Helio Labs": Address("Helio Labs SAS", "FR", "14 rue de la Paix", "75002", "Paris"),
}  # fmt: skip
# What other markets cost of the price on demand, and for which products they are open.
MARKETS = {"spot": Decimal("0.45"), "reserved": Decimal("0.70")}
MARKET_PRODUCTS = ("type:h100-80gb-1", "type:h100-80gb-2", "type:l40s-48gb-1", "type:a100-80gb-1",
                   "type:h200-141gb-1")  # fmt: skip
# Product, factor of today's price: from the first of the month after next.
CHANGES = (("type:h100-80gb-1", Decimal("0.94")), ("type:b200-180gb-1", Decimal("1.05")))


class Command(BaseCommand):
    help = "Bill the demonstration's teams and let them pay."

    def handle(self, **_options: object) -> None:
        with tenancy.everything(), transaction.atomic():
            if LegalEntity.objects.exists():
                return
            teams = {team.name: team for team in Team.objects.filter(name__in=ADDRESSES)}
            if len(teams) < len(ADDRESSES):
                return
            now = db_now()
            _set_up_billing(teams)
            _agree_on_terms(teams, now)
            _change_prices(now)
            _give_credit(teams, now)
            fees.charge_due(now=now)
            _bill(now)
            _cost(now)
            _settle_up(teams, now)
            _pay(teams, now)
            _call(teams)
            _limit(teams)
            _disturb(teams, now)
        self.stdout.write(f"  {Invoice.objects.count()} invoices of {COMPANY.name}")


def _set_up_billing(teams: dict[str, Team]) -> None:
    invoices.create_entity(actor=SYSTEM, wish=COMPANY)
    for country, name, rate in TAX_RATES:
        wish = TaxWish(country, name, Decimal(rate), date(2024, 9, 1), reverse_charge=True)
        invoices.add_tax_rate(actor=SYSTEM, wish=wish)
    for name, address in ADDRESSES.items():
        invoices.save_profile(actor=SYSTEM, team=teams[name], address=address)


def _agree_on_terms(teams: dict[str, Team], now: datetime) -> None:
    """A support fee, a commitment that is missed, and a price list of one's own."""
    first = _months(now)[0].start.date()
    support = NewFee("Business support", FeePeriod.MONTH, Decimal(99), first, included=Decimal(25))
    fees.add_fee(actor=SYSTEM, team=teams["Nordic Vision"], new=support)
    onboarding = NewFee("Onboarding", FeePeriod.ONCE, Decimal(250), first)
    fees.add_fee(actor=SYSTEM, team=teams["Acme Research"], new=onboarding)
    promise = NewCommitment("GPU commitment", Decimal(2000), _months(now)[-1].start.date(), products="type:")
    fees.add_commitment(actor=SYSTEM, team=teams["Helio Labs"], new=promise)
    lists.create_list(
        actor=SYSTEM,
        slug="research",
        name="Research",
        description="Universities and institutes: GPUs 12 % off.",
    )
    for version in _standard("type:h100-80gb-1", "type:l40s-48gb-1", "type:a100-80gb-1"):
        _price(version.product, version.unit_price * Decimal("0.88"), book="research")
    lists.choose_list(actor=SYSTEM, team=teams["Acme Research"], book="research")


def _change_prices(now: datetime) -> None:
    """Spot and reserved markets, and two changes that are announced."""
    for version in _standard(*MARKET_PRODUCTS):
        for market, factor in MARKETS.items():
            _price(f"{version.product}:{market}", version.unit_price * factor)
    start = midnight(next_month(next_month(now.astimezone(UTC).date())))
    factors = dict(CHANGES)
    for version in _standard(*factors):
        note = "New contract with the data centre"
        _price(version.product, version.unit_price * factors[version.product], valid_from=start, note=note)


def _standard(*products: str) -> list[PriceVersion]:
    found = PriceVersion.objects.filter(product__in=products, currency=CURRENCY, book="standard")
    return list(found.filter(valid_until=None).order_by("product"))


def _price(product: str, unit_price: Decimal, **more: Any) -> None:
    cents = unit_price.quantize(Decimal("0.0001"))
    schedule_price(actor=SYSTEM, new=NewPrice(product, CURRENCY, cents, **more))


def _give_credit(teams: dict[str, Team], now: datetime) -> None:
    start = _months(now)[0].start
    welcome = Credit(
        TransactionKind.GRANT, Decimal(150), "Welcome credit", "welcome", start + timedelta(days=1)
    )
    credit(actor=SYSTEM, team=teams["Acme Research"], what=welcome)
    programme = Credit(
        TransactionKind.GRANT,
        Decimal(500),
        "Research programme",
        "programme",
        expires_at=now + timedelta(days=60),
    )
    credit(actor=SYSTEM, team=teams["Acme Research"], what=programme)
    until = now + timedelta(days=90)
    for name, amount, uses in (("Conference in Helsinki", 50, 200), ("Student start", 25, 500)):
        new = NewVoucher(name, CURRENCY, Decimal(amount), uses, until, credit_days=30)
        _voucher, code = grants.create_voucher(actor=SYSTEM, new=new)
        grants.redeem(actor=SYSTEM, team=teams["Helio Labs"], code=code)


def _months(now: datetime) -> list[Period]:
    """The last months that are over, in order."""
    found = [Period.before(now)]
    while len(found) < MONTHS:
        found.append(Period.before(found[-1].start))
    return found[::-1]


def _bill(now: datetime) -> None:
    """Every month as it was billed then."""
    for period in _months(now):
        invoices.open_run(actor=SYSTEM, period=period, now=period.end + timedelta(minutes=10))
        invoicing.advance_runs(now=period.end + GRACE + timedelta(minutes=5))


def _cost(now: datetime) -> None:
    """What the data centres charge: about half of what was used, product by product; power for all."""
    today = now.astimezone(UTC).date()
    spans = [(one.start.date(), one.end.date() - timedelta(days=1)) for one in _months(now)]
    for first, last in [*spans, (today.replace(day=1), today)]:
        used = margin.by_product(SYSTEM, Span(first, last, CURRENCY))
        for number, row in enumerate(one for one in used if one.key.startswith("type:")):
            share = Decimal("0.42") + Decimal(number % 5) * Decimal("0.07")
            amount = (row.revenue * share).quantize(Decimal("0.01"))
            if amount:
                reference, place = f"{first:%Y-%m}-{row.key}", _region_of(row.key)
                bill = CostWish(
                    "Nordlys Colocation", CURRENCY, amount, first, last, reference, row.key, place
                )
                costs.record_cost(actor=SYSTEM, wish=bill)
        power = CostWish("Stadtwerke Nord", CURRENCY, Decimal("86.40"), first, last, f"{first:%Y-%m}-power")
        costs.record_cost(actor=SYSTEM, wish=power)


def _region_of(product: str) -> str | None:
    """Where some of it ran."""
    rows = RatedUsage.objects.filter(product=product, interval__region_id__isnull=False)
    found: str | None = rows.values_list("interval__region_id", flat=True).first()
    return found


def _settle_up(teams: dict[str, Team], now: datetime) -> None:
    """A transfer for the oldest invoice on credit; the others stay open. And a correction."""
    nordic = teams["Nordic Vision"]
    owed = Invoice.objects.filter(team=nordic, state=InvoiceState.OPEN).order_by("period_end").first()
    if owed is not None:
        sent = services.pay_invoice(
            actor=SYSTEM, invoice_id=str(owed.pk), team=nordic, provider=Provider.BANK
        )
        then = min(owed.period_end + timedelta(days=9, hours=10), now)
        services.record_transfer(actor=SYSTEM, payment_id=str(sent.pk), received_at=then)
    billed = Invoice.objects.filter(team=teams["Acme Research"]).order_by("-period_end").first()
    line = billed.lines.filter(kind=LineKind.USAGE).order_by("-amount").first() if billed else None
    if billed is not None and line is not None:
        amount = (line.amount / 10).quantize(Decimal("0.01"))
        wish = CreditWish({line.position: amount}, "Slow disks on the night of the 12th", "case-1187")
        invoices.credit_invoice(actor=SYSTEM, invoice_id=str(billed.pk), wish=wish)


def _pay(teams: dict[str, Team], now: datetime) -> None:
    """Cards, top-ups, refunds and a dispute, with the provider that moves no money."""
    acme, helio = teams["Acme Research"], teams["Helio Labs"]
    services.begin_top_up(actor=SYSTEM, team=acme, wish=Wish(Provider.BANK, Decimal(5000), None))
    if not providers.is_open(Provider.FAKE):
        return
    for team in (acme, helio):
        customer = services.begin_card_setup(actor=SYSTEM, team=team)
        reconcilers.reconcile_customer(customer_id=str(customer.pk))
    services.save_auto_top_up(
        actor=SYSTEM, team=acme, wish=AutoWish(True, Decimal(200), Decimal(500), Decimal(3000))
    )
    small, large = (_top_up(acme, amount) for amount in ("150", "1200"))
    contested = _top_up(helio, "640")
    _top_up(helio, "75.13")
    officer = _officer()
    services.request_refund(actor=officer, payment_id=str(large.pk), amount=Decimal(800), reason="Paid twice")
    back = services.request_refund(
        actor=officer, payment_id=str(small.pk), amount=Decimal(40), reason="Launch went wrong"
    )
    reconcilers.reconcile_refund(refund_id=str(back.pk))
    seen = DisputeSeen(
        new_id("dsp"), str(contested.intent_id), Outcome.WAITING, to_minor(contested.amount, CURRENCY),
        CURRENCY, "fraudulent", now,
    )  # fmt: skip
    refunds.apply_dispute(actor=SYSTEM, seen=seen)
    back.refresh_from_db()
    taken = [("refund", back.external_id, back.amount), ("dispute", seen.id, contested.amount)]
    comparing.reconcile(
        actor=SYSTEM, provider=Provider.FAKE, since=now - timedelta(days=3), until=db_now(),
        lines=list(_book_of_the_provider([small, contested, large], taken)),
    )  # fmt: skip


def _top_up(team: Team, amount: str) -> Payment:
    payment = services.begin_top_up(actor=SYSTEM, team=team, wish=Wish(Provider.FAKE, Decimal(amount), None))
    reconcilers.reconcile_payment(payment_id=str(payment.pk))
    payment.refresh_from_db()
    return payment


def _book_of_the_provider(
    paid: list[Payment], taken: list[tuple[str, Any, Decimal]]
) -> Iterator[BalanceLine]:
    """What the provider says: fees, what it took back, a payout, and the last payment a cent less than we
    have booked."""
    for payment in paid:
        amount = to_minor(payment.amount, CURRENCY)
        told, at = amount - (payment is paid[-1]), payment.succeeded_at or db_now()
        fee, source = amount * 14 // 1000 + 25, str(payment.intent_id)
        yield BalanceLine(f"txn_{payment.pk}", "payment", source, told, fee, CURRENCY, at)
    for kind, source, back in taken:
        yield BalanceLine(f"txn_{source}", kind, source, -to_minor(back, CURRENCY), 0, CURRENCY, db_now())
    yield BalanceLine(f"txn_{new_id('ref')}", "payout", "po_1", -100_000, 0, CURRENCY, db_now())


def _officer() -> Actor:
    """The member of staff who asks for refunds; somebody else has to agree."""
    person: User = User.objects.get(email="finance@hostedai.example")
    grants_of = {PLATFORM: GRANTS[Role.FULL_ADMINISTRATOR]}
    return Actor(person.label, grants_of, kind="user", user_id=person.pk)


def _limit(teams: dict[str, Team]) -> None:
    """A budget that is nearly used up, one that is, and one with room."""
    acme = teams["Acme Research"]
    staging = acme.workspaces.order_by("created_at").last()
    assert staging is not None
    month, subject = BudgetPeriod.MONTH, str(staging.pk)
    for name, level, who, share, action in (
        ("Whole team", BudgetLevel.TEAM, "", "1.09", BudgetAction.BLOCK),
        ("Daily work", BudgetLevel.WORKSPACE, _busiest(acme), "0.96", BudgetAction.NOTIFY),
        ("In production", BudgetLevel.WORKSPACE, subject, "1.9", BudgetAction.STOP),
    ):
        probe = budgeting.set_budget(
            actor=SYSTEM, team=acme, wish=BudgetWish(name, level, month, Decimal(10**6), action, who)
        )
        amount = max((probe.spent * Decimal(share)).quantize(Decimal("1E1")), Decimal(50))
        budgeting.change_budget(actor=SYSTEM, budget_id=str(probe.pk), amount=amount)


def _call(teams: dict[str, Team]) -> None:
    """A webhook for what the budgets tell; paused, for its address leads nowhere."""
    wish = HookWish(
        "Pager", "https://pager.acme.example/hooks/hostedai", ("budget.*", "wallet.*", "invoice.*")
    )
    made = operations.create_webhook(actor=SYSTEM, team=teams["Acme Research"], wish=wish)
    operations.pause_webhook(actor=SYSTEM, webhook_id=made.webhook.pk)


def _busiest(team: Team) -> str:
    first = team.workspaces.order_by("created_at").first()
    assert first is not None
    return str(first.pk)


def _disturb(teams: dict[str, Team], now: datetime) -> None:
    """Usage without a price, and known events with other content: quarantined, so that the books agree."""
    helio = teams["Helio Labs"]
    for quantity in (18_500_000_000, 21_000_000_000):
        sent = [_egress(helio, number, quantity, now) for number in range(2)]
        events.ingest(actor=SYSTEM, events=sent, now=now)
    charges.rate_pending()


def _egress(team: Team, number: int, quantity: int, now: datetime) -> dict[str, Any]:
    return {
        "id": f"flow-{now:%Y%m%d}-{number}",
        "source": "edge/fra-1",
        "type": "egress_bytes",
        "time": (now - timedelta(hours=number + 1)).isoformat(),
        "team": str(team.pk),
        "data": {"quantity": quantity},
    }
