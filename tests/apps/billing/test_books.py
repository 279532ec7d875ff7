"""A stateful test: whatever happens in whatever order, PostgreSQL and a page of arithmetic agree."""

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test import override_settings
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from apps.billing import reconcilers
from apps.billing.errors import NoHeadroom, PriceConflict
from apps.billing.models import CreditGrant, Posting, PriceVersion
from apps.billing.selectors import proofs
from apps.billing.services import charges, charging, events, grants, tokens, wallets
from apps.billing.services.prices import NewPrice, schedule_price, withdraw_price
from apps.billing.specs import CUT_EVERY, Rate
from apps.core.actor import SYSTEM
from apps.core.errors import Conflict, NotFound
from apps.core.ids import new_id
from apps.invoicing.errors import TooMuch
from apps.invoicing.services.credit_notes import CreditWish, credit_invoice
from apps.payments import services as payments
from apps.payments.errors import NotRefundable, SamePerson
from apps.payments.specs import Wish
from apps.payments.states import Provider
from tests.factories.billing import START, begin, make_price, make_team, make_usage, wallet_of
from tests.factories.invoicing import close, invoice_of, make_entity

PRICES = {"type:big": Decimal(7), "type:small": Decimal("0.9"), "disk": Decimal("0.11")}
RESOURCES = ("ins_a", "ins_b", "ins_c")
# Everything happens in times to come, so that prices can be scheduled and withdrawn in the midst of it.
LATER = datetime(2066, 3, 10, 12, 0, tzinfo=UTC)
NOBODY, SOMEBODY = replace(SYSTEM, user_id=new_id("usr")), replace(SYSTEM, user_id=new_id("usr"))
APPROVAL_ABOVE = Decimal(2)
# The suite plays a sample; `make prove-money` plays on.
EXAMPLES, STEPS = (
    int(os.environ.get(name, usual)) for name, usual in (("BOOKS_EXAMPLES", "15"), ("BOOKS_STEPS", "25"))
)


def cost(price: Decimal, seconds: int) -> Decimal:
    return (price * seconds / Decimal(3600)).quantize(Decimal("1e-12"), rounding=ROUND_HALF_EVEN)


@dataclass
class Paid:
    """A transfer that has come, and what of it goes back: at once, or once somebody else has agreed."""

    id: str
    amount: Decimal
    refunded: Decimal = Decimal(0)
    asked: dict[str, Decimal] = field(default_factory=dict)

    @property
    def left(self) -> Decimal:
        return self.amount - self.refunded - sum(self.asked.values())


@dataclass
class Model:
    """The whole of billing for one team, by hand."""

    balance: Decimal = Decimal(0)
    limit: Decimal = Decimal(0)
    lost: Decimal = Decimal(0)
    holds: dict[str, Decimal] = field(default_factory=dict)
    runs: dict[str, tuple[str, int]] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    reported: Decimal = Decimal(0)
    changes: dict[str, tuple[int, Decimal]] = field(default_factory=dict)  # product: from when, the price

    def price(self, product: str, at: int) -> Decimal:
        start, price = self.changes.get(product, (at + 1, Decimal(0)))
        return price if at >= start else PRICES[product]

    def used(self, product: str, since: int, until: int) -> Decimal:
        """What a stretch costs, cut where the price changes."""
        change = min(max(self.changes.get(product, (until,))[0], since), until)
        before = cost(PRICES[product], change - since)
        return before + cost(self.price(product, until), until - change)

    @property
    def free(self) -> Decimal:
        return self.balance + self.limit - sum(self.holds.values())

    def pay(self, amount: Decimal) -> None:
        """Charge an amount whose own holds are given back already; what is not free is lost. What comes back
        is first of all what was lost."""
        paid = min(amount, self.free) if amount >= 0 else min(amount + self.lost, Decimal(0))
        self.balance -= paid
        self.lost += amount - paid

    def cut(self, name: str, now: int, product: str | None) -> None:
        self.holds.pop(name, None)
        if name in self.runs:
            before, since = self.runs.pop(name)
            self.pay(self.used(before, since, now))
        if product:
            self.runs[name] = (product, now)
            self.holds[name] = min(cost(self.price(product, now), 300), self.free)
            self.due[name] = now + int(CUT_EVERY.total_seconds())


def tiers(units: Decimal) -> Decimal:
    """The first 20 units at 0.03, the others at 0.01."""
    return min(units, Decimal(20)) * Decimal("0.03") + max(units - 20, Decimal(0)) * Decimal("0.01")


class Books(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        for product, price in PRICES.items():
            make_price(product, str(price))
        make_price("builds", "0.03", model="graduated", tiers=[["20", "0.03"], [None, "0.01"]])
        make_price("tokens:llama:output", "1000")
        self.team, self.model, self.now = make_team(), Model(), 0
        self.invoice = self.billed()
        self.credited = Decimal(0)
        self.paid: list[Paid] = []
        self.vouchers: dict[str, tuple[str, Decimal, bool]] = {}
        self.sent: dict[str, Any] = {}
        self.corrected: dict[str, Any] = {}
        self.leases: dict[str, str] = {}
        self.settled: dict[int, tokens.TokenUsage] = {}

    def billed(self):
        """A final invoice, from the balance, for an hour of a month that is over."""
        make_entity(bank_details="IBAN DE02")
        wallets.top_up(actor=SYSTEM, team=self.team, amount=PRICES["type:big"], reason="x")
        begin(self.team, "ins_past", Rate("type:big"), now=START)
        charging.end(resource_id="ins_past", now=START + timedelta(hours=1))
        close()
        return invoice_of(self.team)

    def teardown(self) -> None:
        try:
            broken = {finding.name for finding in proofs.verify() if not finding.is_ok}
            assert broken <= {"holds_expired"}, broken
        finally:
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)

    def at(self):
        return LATER + timedelta(seconds=self.now)

    @rule(amount=st.decimals("0.01", 3, places=2), reference=st.sampled_from(["", "one", "two"]))
    def top_up(self, amount, reference):
        known = getattr(self, "references", {})
        if reference in known and known[reference] != amount:
            with pytest.raises(Conflict):
                wallets.top_up(actor=SYSTEM, team=self.team, amount=amount, reason="x", reference=reference)
            return
        wallets.top_up(actor=SYSTEM, team=self.team, amount=amount, reason="x", reference=reference)
        self.model.balance += 0 if reference in known else amount
        self.references = known | ({reference: amount} if reference else {})

    @rule(amount=st.decimals(0, 2, places=2))
    def limit_credit(self, amount):
        if self.model.free - self.model.limit + amount < 0:
            with pytest.raises(Conflict):
                wallets.set_credit_limit(actor=SYSTEM, team=self.team, amount=amount)
        else:
            wallets.set_credit_limit(actor=SYSTEM, team=self.team, amount=amount)
            self.model.limit = amount

    @rule(seconds=st.integers(0, 400))
    def wait(self, seconds):
        self.now += seconds

    @rule(name=st.sampled_from(RESOURCES), product=st.sampled_from(sorted(PRICES)))
    def reserve(self, name, product):
        if name in self.model.runs:
            return
        wanted = cost(self.model.price(product, self.now), 600)
        asked = {"team_id": self.team.pk, "resource_id": name, "rates": [Rate(product)], "now": self.at()}
        if self.model.free + self.model.holds.get(name, 0) < wanted:
            with pytest.raises(NoHeadroom):
                charging.reserve(**asked)
        else:
            charging.reserve(**asked)
            self.model.holds[name] = wanted

    @rule(name=st.sampled_from(RESOURCES), product=st.sampled_from(sorted(PRICES)))
    def begin(self, name, product):
        begin(self.team, name, Rate(product), now=self.at())
        if self.model.runs.get(name, ("",))[0] != product:
            self.model.cut(name, self.now, product)

    @rule(name=st.sampled_from(RESOURCES))
    def end(self, name):
        charging.end(resource_id=name, now=self.at())
        self.model.cut(name, self.now, None)

    @rule(name=st.sampled_from(("e-1", "e-2", "e-3", "e-4")), builds=st.integers(0, 30))
    def report(self, name, builds):
        raw = {
            "id": name, "source": "test", "type": "builds", "team": self.team.pk,
            "time": START.isoformat(), "data": {"quantity": builds},
        }  # fmt: skip
        is_new = name not in self.sent
        first = self.sent.setdefault(name, raw)
        (result,) = events.ingest(actor=SYSTEM, events=[raw], now=START)
        assert result.status == ("accepted" if is_new else "duplicate" if raw == first else "conflict")
        assert charges.rate_pending() == int(is_new)
        if is_new:
            before, self.model.reported = self.model.reported, self.model.reported + builds
            self.model.pay(tiers(self.model.reported) - tiers(before))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), builds=st.integers(0, 30))
    def correct(self, data, builds):
        name = data.draw(st.sampled_from(sorted(self.sent)))
        last = self.corrected.get(name, self.sent[name])
        raw = {**last, "id": f"{last['id']}+", "supersedes": last["id"], "data": {"quantity": builds}}
        (result,) = events.ingest(actor=SYSTEM, events=[raw], now=START)
        assert (result.status, charges.rate_pending()) == ("accepted", 1)
        before = self.model.reported
        self.model.reported += builds - last["data"]["quantity"]
        self.model.pay(tiers(self.model.reported) - tiers(before))
        self.corrected[name] = raw

    @rule(name=st.sampled_from(("lease 1", "lease 2")), amount=st.decimals("0.01", 2, places=2))
    def lease(self, name, amount):
        if name in self.leases:
            tokens.release(lease_id=self.leases.pop(name))
            self.model.holds.pop(name, None)
            return
        asked = {"team_id": self.team.pk, "workspace_id": self.team.workspaces.get().pk, "key_id": None}
        if self.model.free <= 0:
            with pytest.raises(NoHeadroom):
                tokens.lease(**asked, holder="g", amount=amount, now=self.at())
            return
        made = tokens.lease(**asked, holder="g", amount=amount, now=self.at())
        assert made.amount == min(amount, self.model.free)
        self.model.holds[name], self.leases[name] = made.amount, made.id

    @rule(
        wanted=st.dictionaries(
            st.integers(1, 7),
            st.tuples(st.integers(1, 900), st.sampled_from(("lease 1", "lease 2"))),
            min_size=1,
            max_size=3,
        )
    )
    def settle(self, wanted):
        """Requests of one batch, under several leases and on several days, come to what each alone would."""
        fresh = {number: one for number, one in wanted.items() if number not in self.settled}
        for number, (count, name) in fresh.items():
            self.settled[number] = self.usage(number, count, self.leases.get(name))
        batch = [self.settled[number] for number in wanted]
        found = tokens.settle(batch + batch)
        assert (found.counted, found.duplicates) == (len(fresh), 2 * len(batch) - len(fresh))
        for number, (_count, name) in fresh.items():
            usage = self.settled[number]
            self.model.holds[name] = self.model.holds.get(name, Decimal(0))
            amount = tokens.token_cost(usage.terms.prices, usage.counts)
            self.model.holds[name] -= min(self.model.holds[name], amount)
            self.model.pay(amount)

    def usage(self, number, count, lease):
        counts = (0, 0, count, 0)
        at = self.at() + timedelta(days=number % 2)
        return make_usage(self.team, counts, at=at, request_id=UUID(int=number), lease_id=lease)

    @rule(
        product=st.sampled_from(sorted(PRICES)), wait=st.integers(0, 900), price=st.decimals(0, 9, places=3)
    )
    def change_price(self, product, wait, price):
        start = self.now + wait
        new = NewPrice(product, "EUR", price, valid_from=LATER + timedelta(seconds=start))
        if product in self.model.changes:
            with pytest.raises(PriceConflict):
                schedule_price(actor=SYSTEM, new=new)
        elif all(used != product or since <= start for used, since in self.model.runs.values()):
            schedule_price(actor=SYSTEM, new=new)
            self.model.changes[product] = (start, price)

    @rule(product=st.sampled_from(sorted(PRICES)))
    def withdraw_price(self, product):
        if self.model.changes.get(product, (self.now,))[0] > self.now:
            last = PriceVersion.objects.get(product=product, valid_until=None)
            withdraw_price(actor=SYSTEM, version=last)
            del self.model.changes[product]

    @rule(amount=st.decimals("0.01", 4, places=2), reference=st.sampled_from(["", "case-1", "case-2"]))
    def credit_note(self, amount, reference):
        line = self.invoice.lines.get(kind="usage")
        wish = CreditWish({line.position: amount}, "sorry", reference)
        known = getattr(self, "cases", {})
        if reference not in known and amount > line.amount - self.credited:
            with pytest.raises(TooMuch):
                credit_invoice(actor=SYSTEM, invoice_id=self.invoice.pk, wish=wish)
            return
        made = credit_invoice(actor=SYSTEM, invoice_id=self.invoice.pk, wish=wish)
        assert made.to_balance == known.get(reference, amount)
        if reference not in known:
            self.credited += amount
            self.model.balance += amount
            self.cases = known | ({reference: amount} if reference else {})

    @rule(amount=st.decimals(1, 5, places=2))
    def receive(self, amount):
        asked = payments.begin_top_up(actor=SYSTEM, team=self.team, wish=Wish(Provider.BANK, amount, None))
        for _again in range(2):
            payments.record_transfer(actor=SYSTEM, payment_id=asked.pk)
        self.model.balance += amount
        self.paid.append(Paid(asked.pk, amount))

    @precondition(lambda self: self.paid)
    @rule(data=st.data(), amount=st.decimals("0.01", 5, places=2))
    def refund(self, data, amount):
        paid = data.draw(st.sampled_from(self.paid))
        asked = {"payment_id": paid.id, "amount": amount, "reason": "sorry"}
        if amount > paid.left:
            with pytest.raises(NotRefundable):
                payments.request_refund(actor=SOMEBODY, **asked)
        elif paid.amount - paid.left + amount > APPROVAL_ABOVE:
            made = payments.request_refund(actor=SOMEBODY, **asked)
            assert made.state == "requested"
            paid.asked[made.pk] = amount
        elif amount > self.paid_in():
            with pytest.raises(NotRefundable), transaction.atomic():
                payments.request_refund(actor=SOMEBODY, **asked)
        else:
            payments.request_refund(actor=SOMEBODY, **asked)
            self.give_back(paid, amount)

    @precondition(lambda self: any(paid.asked for paid in self.paid))
    @rule(data=st.data(), agrees=st.booleans())
    def decide(self, data, agrees):
        paid = data.draw(st.sampled_from([paid for paid in self.paid if paid.asked]))
        refund, amount = data.draw(st.sampled_from(sorted(paid.asked.items())))
        with pytest.raises(SamePerson):
            payments.approve_refund(actor=SOMEBODY, refund_id=refund)
        if not agrees:
            payments.reject_refund(actor=NOBODY, refund_id=refund)
            del paid.asked[refund]
        elif amount > self.paid_in():
            with pytest.raises(NotRefundable), transaction.atomic():
                payments.approve_refund(actor=NOBODY, refund_id=refund)
        else:
            payments.approve_refund(actor=NOBODY, refund_id=refund)
            del paid.asked[refund]
            self.give_back(paid, amount)

    def paid_in(self):
        """What is free of the balance, but for what is left of vouchers."""
        grants.assign(team_id=self.team.pk)
        given = sum(CreditGrant.objects.values_list("remaining", flat=True), Decimal(0))
        return max(self.model.free - self.model.limit - given, Decimal(0))

    def give_back(self, paid, amount):
        paid.refunded += amount
        self.model.balance -= amount

    @rule(name=st.sampled_from(("fair", "student")), amount=st.decimals("0.01", 2, places=2))
    def redeem(self, name, amount):
        if name not in self.vouchers:
            new = grants.NewVoucher(name, "EUR", amount)
            self.vouchers[name] = (grants.create_voucher(actor=SYSTEM, new=new)[1], amount, False)
            return
        code, amount, is_used = self.vouchers[name]
        if is_used:
            with pytest.raises(NotFound):
                grants.redeem(actor=SYSTEM, team=self.team, code=code)
            return
        grants.redeem(actor=SYSTEM, team=self.team, code=code)
        self.model.balance += amount
        self.vouchers[name] = (code, amount, True)

    @rule(limit=st.integers(1, 3))
    def poll(self, limit):
        due = {name for name in self.model.runs if self.model.due[name] <= self.now}
        assert reconcilers.cut_due(now=self.at(), limit=3) == len(due)
        for name in sorted(due):
            self.model.cut(name, self.now, self.model.runs[name][0])

    @invariant()
    def the_books_agree(self):
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        wallet = wallet_of(self.team)
        assert (wallet.balance, wallet.available) == (self.model.balance, self.model.free)
        uncollected = Posting.objects.filter(account__kind="uncollected").values_list("amount", flat=True)
        assert -sum(uncollected, Decimal(0)) == self.model.lost
        assert self.model.free >= 0


@pytest.mark.django_db
@override_settings(REFUND_APPROVAL_ABOVE={"EUR": str(APPROVAL_ABOVE)})
def test_whatever_happens_the_books_agree_with_plain_arithmetic():
    is_sample = "BOOKS_EXAMPLES" not in os.environ
    bounded = settings(
        derandomize=is_sample, deadline=None, max_examples=EXAMPLES, stateful_step_count=STEPS, database=None,
        phases=[Phase.generate] if is_sample else [Phase.generate, Phase.shrink],
    )  # fmt: skip
    run_state_machine_as_test(Books, settings=bounded)
    print(f"{EXAMPLES} lives of up to {STEPS} steps: the books agree with plain arithmetic after each")
