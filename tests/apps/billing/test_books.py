"""A stateful test: whatever happens in whatever order, PostgreSQL and a page of arithmetic agree."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from apps.billing import reconcilers
from apps.billing.errors import NoHeadroom
from apps.billing.models import Posting
from apps.billing.selectors import proofs
from apps.billing.services import charges, charging, events, tokens, wallets
from apps.billing.specs import CUT_EVERY, Rate
from apps.core.actor import SYSTEM
from apps.core.errors import Conflict
from tests.factories.billing import START, begin, make_price, make_team, wallet_of

PRICES = {"type:big": Decimal(7), "type:small": Decimal("0.9"), "disk": Decimal("0.11")}
RESOURCES = ("ins_a", "ins_b", "ins_c")


def cost(product: str, seconds: int) -> Decimal:
    exact = PRICES[product] * seconds / Decimal(3600)
    return exact.quantize(Decimal("1e-12"), rounding=ROUND_HALF_EVEN)


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

    @property
    def free(self) -> Decimal:
        return self.balance + self.limit - sum(self.holds.values())

    def pay(self, amount: Decimal) -> None:
        """Charge an amount whose own holds are given back already; what is not free is lost."""
        paid = min(amount, self.free)
        self.balance -= paid
        self.lost += amount - paid

    def cut(self, name: str, now: int, product: str | None) -> None:
        self.holds.pop(name, None)
        if name in self.runs:
            before, since = self.runs.pop(name)
            self.pay(cost(before, now - since))
        if product:
            self.runs[name] = (product, now)
            self.holds[name] = min(cost(product, 300), self.free)
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
        self.sent: dict[str, Any] = {}
        self.leases: dict[str, str] = {}
        self.settled: dict[int, tokens.TokenUsage] = {}

    def teardown(self) -> None:
        try:
            broken = {finding.name for finding in proofs.verify() if not finding.is_ok}
            assert broken <= {"holds_expired"}, broken
        finally:
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)

    def at(self):
        return START + timedelta(seconds=self.now)

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
        wanted = cost(product, 600)
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
            "time": self.at().isoformat(), "data": {"quantity": builds},
        }  # fmt: skip
        is_new = name not in self.sent
        first = self.sent.setdefault(name, raw)
        (result,) = events.ingest(actor=SYSTEM, events=[raw], now=self.at())
        assert result.status == ("accepted" if is_new else "duplicate" if raw == first else "conflict")
        assert charges.rate_pending() == int(is_new)
        if is_new:
            before, self.model.reported = self.model.reported, self.model.reported + builds
            self.model.pay(tiers(self.model.reported) - tiers(before))

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

    @rule(number=st.integers(1, 5), count=st.integers(1, 900), name=st.sampled_from(("lease 1", "lease 2")))
    def settle(self, number, count, name):
        known = self.settled.get(number)
        usage = known or self.usage(number, count, self.leases.get(name))
        found = tokens.settle([usage, usage])
        assert (found.counted, found.duplicates) == ((0, 2) if known else (1, 1))
        if not known:
            self.settled[number] = usage
            self.model.holds[name] = self.model.holds.get(name, Decimal(0))
            self.model.holds[name] -= min(self.model.holds[name], usage.amount)
            self.model.pay(usage.amount)

    def usage(self, number, count, lease):
        prices = tokens.price_table(self.at()).of(self.team.pk, "llama")
        counts = (0, 0, count, 0)
        where = (self.team.pk, self.team.workspaces.get().pk, None, None, None, "llama", "")
        money = (tokens.token_cost(prices, counts), "EUR", prices.version_ids, lease)
        when = (self.at(), self.at())
        return tokens.TokenUsage(UUID(int=number), *where, *counts, *money, *when, "stop", False)

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
def test_whatever_happens_the_books_agree_with_plain_arithmetic():
    bounded = settings(
        derandomize=True, deadline=None, max_examples=20, stateful_step_count=25, database=None
    )
    run_state_machine_as_test(Books, settings=bounded)
