"""Tokens: priced from a snapshot, held by leases, settled once each whatever is repeated."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

import pytest

from apps.billing.errors import LeaseGone, NoHeadroom
from apps.billing.models import (
    AccountKind,
    Hold,
    Posting,
    ProviderDay,
    ProviderRate,
    Quarantined,
    RatedUsage,
    TokenRequest,
    Transaction,
    UsageDay,
)
from apps.billing.selectors import margin, proofs, rated
from apps.billing.services import decisions, provided, tokens
from apps.billing.services.tokens import Settled, TokenUsage
from apps.billing.specs import TokenRate
from apps.core.actor import SYSTEM
from apps.core.errors import Conflict
from apps.core.ids import new_id
from tests.factories.billing import START, make_price, make_team, make_usage, wallet_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def team():
    for kind, price in (("input", "0.5"), ("cached", "0.05"), ("output", "1.5")):
        make_price(f"tokens:llama:{kind}", price)
    make_price("tokens:minilm:embedding", "0.02")
    return make_team("10")


def usage(team, *, counts=(1000, 200, 300, 0), slug="llama", **terms):
    return make_usage(team, counts, slug=slug, seconds=2, key_id=new_id("key"), digest="sha256:1", **terms)


def changed(one: TokenUsage, *, prices=None, **changes) -> TokenUsage:
    """The same request with other fields, whosever they are."""
    own = {name: changes.pop(name) for name in set(changes) & set(TokenUsage._fields)}
    terms = replace(one.terms, prices=replace(one.terms.prices, **(prices or {})), **changes)
    return one._replace(terms=terms, **own)


def ids_of(records) -> set[str]:
    return {str(UUID(bytes=one.request_id)) for one in records}


FREE = {"input": Decimal(0), "cached": Decimal(0), "output": Decimal(0), "version_ids": (None,) * 4}
COST = Decimal("0.00096")  # 1000 × 0.5 + 200 × 0.05 + 300 × 1.5, per million


def test_the_price_table_says_what_each_team_pays(team):
    table = tokens.price_table(START)
    prices = table.of(team.pk, "llama")
    assert (prices.currency, prices.input, prices.cached, prices.output) == (
        "EUR", Decimal("0.5"), Decimal("0.05"), Decimal("1.5"),
    )  # fmt: skip
    assert prices.version_ids[3] is None
    assert table.of(team.pk, "unheard-of") is None
    assert table.of(make_team(currency="JPY").pk, "llama") is None
    assert tokens.token_cost(prices, (1000, 200, 300, 0)) == COST


def test_cached_tokens_without_a_price_cost_what_others_do():
    make_price("tokens:plain:input", "2")
    team = make_team("1")
    prices = tokens.price_table(START).of(team.pk, "plain")
    assert (prices.cached, prices.version_ids[1]) == (2, prices.version_ids[0])
    assert tokens.settle([usage(team, slug="plain", counts=(0, 500_000, 0, 0))]).counted == 1
    assert wallet_of(team).balance == 0


def test_a_batch_is_charged_once_with_one_transaction_per_team(team):
    other = make_team("1")
    batch = [usage(team), usage(team), usage(other), usage(team, slug="minilm", counts=(0, 0, 0, 50))]
    before = Transaction.objects.count()
    assert tokens.settle(batch) == Settled(4, 0)
    assert tokens.settle(batch) == Settled(0, 4)
    assert tokens.settle([*batch, usage(other)]) == Settled(1, 4)
    assert Transaction.objects.count() == before + 3
    assert wallet_of(team).balance == 10 - 2 * COST - Decimal("0.000001")
    assert wallet_of(other).balance == 1 - 2 * COST
    assert sum(Posting.objects.values_list("amount", flat=True)) == 0
    assert sum(line.amount for line in RatedUsage.objects.all()) == 4 * COST + Decimal("0.000001")
    assert UsageDay.objects.get(team=team, product="tokens:llama:input").quantity == Decimal("0.002")
    assert TokenRequest.objects.filter(slug="llama").first().amount == COST
    line = RatedUsage.objects.filter(team=team, product="tokens:llama:output").first()
    assert set(rated.evidence(line)) == ids_of(batch[:2])
    assert {f.name for f in proofs.verify() if not f.is_ok} == set()


def test_tokens_whose_engine_is_paid_by_time_are_counted_and_cost_nothing(team):
    """Both ways in one batch: the proof of the books knows them apart."""
    own = changed(usage(team), slug="own", prices=FREE, is_metered=False)
    assert tokens.settle([usage(team), own]).counted == 2
    assert set(RatedUsage.objects.values_list("product", flat=True)) == {
        f"tokens:llama:{kind}" for kind in ("input", "cached", "output")
    }
    assert [one for one in proofs.verify() if not one.is_ok] == []


def test_what_stands_twice_in_a_batch_is_counted_once(team):
    one = usage(team)
    assert tokens.settle([one, one]) == Settled(1, 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"input": -1}, "quantity"),
        ({"output": 10**13}, "quantity"),
        ({"prices": {"input": Decimal("0.500000000001")}}, "amount"),
        ({"prices": {"currency": "USD"}}, "currency"),
        ({"team_id": new_id("team")}, "unknown_team"),
        ({"team_id": "nonsense"}, "malformed"),
        ({"prices": {"version_ids": (None, None, None, None)}}, "no_price"),
        ({"prices": {"version_ids": ("prv_x",)}}, "no_price"),
        ({"slug": "minilm"}, "no_price"),
    ],
)
def test_what_cannot_be_believed_is_set_aside_and_not_charged(team, change, reason):
    wrong = changed(usage(team), **change)
    assert tokens.settle([wrong, usage(team)]) == Settled(1, 0, 1)
    assert tokens.settle([wrong]).quarantined == 1
    assert Quarantined.objects.get().reason == reason
    assert wallet_of(team).balance == 10 - COST


def test_one_bad_request_among_many_is_set_aside_alone(team):
    """Whether its terms or its own figures are wrong, and whatever else shares them."""
    other = usage(make_team("1"), counts=(0, 0, 0, 70), slug="minilm")
    good = usage(team)
    batch = [
        good,
        changed(usage(team), output=-1),
        *[usage(team)._replace(terms=good.terms) for _n in range(5)],
        usage(team)._replace(terms=good.terms, embedding=1),
        changed(usage(team), prices={"output": Decimal(9)}),
        changed(usage(team), prices={"embedding": Decimal(9)}),
        usage(team)._replace(terms=good.terms, finished_us=0),
        changed(other, request_id=good.request_id),
        other,
        good,
    ]
    assert tokens.settle(batch) == Settled(8, 1, 5)
    assert tokens.settle(batch) == Settled(0, 9, 5)
    reasons = Quarantined.objects.values_list("reason", flat=True)
    assert sorted(reasons) == ["amount", "conflict", "no_price", "quantity", "quantity"]
    assert wallet_of(team).balance == 10 - 7 * COST
    assert {f.name for f in proofs.verify() if not f.is_ok} == set()


def test_requests_come_to_the_same_in_one_batch_as_one_by_one(team):
    """Over two leases, two days and two models, with amounts that are rounded and more than is there."""
    make_price("tokens:llama:embedding", "0.000000000001")
    chance, books = Random(7), []
    counts = [[chance.randrange(10**6) for _kind in range(4)] for _request in range(30)]
    for payer, size in ((make_team("10"), 60), (make_team("10"), 1)):
        leases = [take(payer, "3").id, take(payer, "0.5").id]
        batch = [
            usage(payer, counts=tuple(of), at=START + timedelta(days=n % 2), lease_id=leases[n // 2 % 2])
            for n, of in enumerate(counts)
        ]
        batch += [usage(payer, slug="minilm", counts=(0, 0, 0, of[3])) for of in counts]
        for n in range(0, len(batch), size):
            settled = tokens.settle(batch[n : n + size])
            assert (settled.counted, settled.quarantined) == (len(batch[n : n + size]), 0)
        days = UsageDay.objects.filter(team=payer).order_by("day", "product")
        books.append(
            (
                [(one.day, one.product, one.quantity, one.amount) for one in days],
                [Hold.objects.get(pk=lease).amount for lease in leases],
                (wallet_of(payer).balance, wallet_of(payer).held),
                sum(line.amount for line in RatedUsage.objects.filter(team_id=payer.pk)),
            )
        )
        for lease in leases:
            tokens.release(lease_id=lease)
    assert books[0] == books[1]
    assert {f.name for f in proofs.verify() if not f.is_ok} == set()


def test_other_content_under_a_known_id_is_a_conflict(team):
    first = usage(team)
    other = changed(usage(team, counts=(1, 0, 0, 0)), request_id=first.request_id)
    assert tokens.settle([first, other]) == Settled(1, 0, 1)
    assert tokens.settle([other]) == Settled(0, 0, 1)
    assert Quarantined.objects.get().reason == "conflict"
    assert wallet_of(team).balance == 10 - COST


def take(team, amount: str):
    return tokens.lease(
        team_id=team.pk,
        workspace_id=team.workspaces.get().pk,
        key_id=None,
        holder="gateway-1",
        amount=Decimal(amount),
        now=START,
    )


def test_a_lease_is_a_hold_that_settling_lowers_and_that_is_smaller_when_less_is_left(team):
    lease = take(team, "8")
    assert (lease.amount, wallet_of(team).held) == (8, 8)
    assert take(team, "8").amount == 2
    with pytest.raises(NoHeadroom):
        take(team, "1")
    tokens.settle([usage(team, lease_id=lease.id)])
    assert Hold.objects.get(pk=lease.id).amount == 8 - COST
    assert wallet_of(team).available == 0
    tokens.release(lease_id=lease.id)
    tokens.release(lease_id=lease.id)
    assert (wallet_of(team).held, wallet_of(team).balance) == (2, 10 - COST)


def test_a_renewed_lease_keeps_what_is_spent_but_not_settled(team):
    lease = take(team, "4")
    again = tokens.renew(lease_id=lease.id, spent=Decimal(3), amount=Decimal(4), now=START)
    assert (again.amount, wallet_of(team).held) == (4, 7)
    again = tokens.renew(lease_id=lease.id, spent=Decimal(3), amount=Decimal(20), now=START)
    assert (again.amount, wallet_of(team).held) == (7, 10)
    tokens.release(lease_id=lease.id, spent=Decimal(3))
    assert wallet_of(team).held == 3
    with pytest.raises(LeaseGone):
        tokens.renew(lease_id=new_id("lse"), spent=Decimal(0), amount=Decimal(1), now=START)


def test_what_no_balance_covers_is_uncollected_and_never_below_the_limit(team):
    poor = make_team("0.01")
    assert tokens.settle([usage(poor, counts=(30_000, 0, 0, 0))]).counted == 1
    assert wallet_of(poor).balance == 0
    lost = Posting.objects.get(account__kind="uncollected")
    assert lost.amount == Decimal("-0.005")


def test_the_requests_behind_a_line_are_exactly_its_own(team):
    """Whatever keys they came with; another day and another endpoint have lines of their own."""
    first, second = usage(team), usage(team)
    later = usage(team, at=START + timedelta(days=1))
    placed = usage(team, endpoint_id=new_id("end"))
    assert tokens.settle([first, second, later, placed]).counted == 4
    lines = RatedUsage.objects.filter(product="tokens:llama:output").order_by("quantity", "id")
    behind = [set(rated.evidence(line)) for line in lines]
    assert sorted(map(len, behind)) == [1, 1, 2]
    assert behind[-1] == ids_of((first, second))
    assert set().union(*behind) == ids_of((first, second, later, placed))
    assert [one for one in proofs.verify() if not one.is_ok] == []


@pytest.mark.parametrize(
    "change",
    [{"input": Decimal(1)}, {"version_ids": (None, None, None, None)}],
    ids=["amount", "no price"],
)
def test_set_aside_tokens_are_charged_after_all_at_the_price_of_their_moment(team, change):
    wrong = changed(usage(team), prices=change)
    assert tokens.settle([wrong]).quarantined == 1
    released = decisions.release(actor=SYSTEM, quarantined=Quarantined.objects.get())
    assert released.state == "released"
    assert wallet_of(team).balance == 10 - COST
    assert TokenRequest.objects.get().request_id == UUID(bytes=wrong.request_id)
    assert [one for one in proofs.verify() if not one.is_ok] == []


def test_tokens_that_were_charged_meanwhile_are_not_charged_again(team):
    right = usage(team)
    assert tokens.settle([changed(right, prices={"input": Decimal(1)})]).quarantined == 1
    assert tokens.settle([right]).counted == 1
    with pytest.raises(Conflict):
        decisions.release(actor=SYSTEM, quarantined=Quarantined.objects.get())
    assert wallet_of(team).balance == 10 - COST


@pytest.mark.parametrize("change", [{"slug": "unheard-of"}, {"input": -1}], ids=["no price", "quantity"])
def test_tokens_that_cannot_be_charged_can_only_be_discarded(team, change):
    assert tokens.settle([changed(usage(team), **change)]).quarantined == 1
    with pytest.raises(Conflict):
        decisions.release(actor=SYSTEM, quarantined=Quarantined.objects.get())
    assert wallet_of(team).balance == 10


def test_what_providers_charge_is_booked_with_the_usage_once(team):
    """By the rate of the moment at which a request began; repeats and others' engines cost nothing."""
    provider, own = new_id("rep"), new_id("rep")
    rate = TokenRate("USD", Decimal("0.2"), Decimal("0.1"), Decimal("0.8"))
    ProviderRate.objects.create(
        replica_id=provider, currency="USD", at=START, input=rate.input, cached=rate.cached,
        output=rate.output, created_by="staff",
    )  # fmt: skip
    theirs = [usage(team, replica_id=provider) for _one in range(2)]
    early = usage(team, replica_id=provider, at=START - timedelta(seconds=1))
    records = [*theirs, early, usage(team, replica_id=own), usage(team)]
    assert tokens.settle(records) == Settled(5, 0)
    assert tokens.settle([*theirs, usage(team, replica_id=own)]) == Settled(1, 2)
    later = TokenRate("USD", Decimal(0), Decimal(0), Decimal("1.25"))
    provided.set_rate(actor=SYSTEM, replica_id=provider, rate=later)
    provided.set_rate(actor=SYSTEM, replica_id=provider, rate=later)
    assert ProviderRate.objects.count() == 2
    rated_at = provided.rate_of(provider).at
    last = usage(team, replica_id=provider, at=rated_at)
    tokens.settle([last])
    cost = {
        (one.product, one.day): (one.tokens, one.amount, one.currency) for one in ProviderDay.objects.all()
    }
    assert cost == {
        ("tokens:llama:input", START.date()): (2000, Decimal("0.0004"), "USD"),
        ("tokens:llama:cached", START.date()): (400, Decimal("0.00004"), "USD"),
        ("tokens:llama:output", START.date()): (600, Decimal("0.00048"), "USD"),
        ("tokens:llama:input", rated_at.date()): (1000, 0, "USD"),
        ("tokens:llama:cached", rated_at.date()): (200, 0, "USD"),
        ("tokens:llama:output", rated_at.date()): (300, Decimal("0.000375"), "USD"),
    }
    booked = Posting.objects.filter(account__kind=AccountKind.PROVIDER_COST)
    assert sorted(booked.values_list("amount", flat=True)) == [Decimal("-0.00092"), Decimal("-0.000375")]
    assert not [one for one in proofs.verify() if one.name == "provider_cost" and one.count]


def test_the_margin_knows_what_providers_charge(team):
    provider = new_id("rep")
    rate = TokenRate("EUR", Decimal("0.1"), Decimal(0), Decimal("1"))
    provided.set_rate(actor=SYSTEM, replica_id=provider, rate=rate)
    at = provided.rate_of(provider).at
    one = usage(team, replica_id=provider, at=at)
    tokens.settle([one])
    span = margin.Span(at.date(), at.date(), "EUR")
    found = {row.key: (row.revenue, row.cost) for row in margin.by_product(SYSTEM, span)}
    assert found["tokens:llama:output"] == (Decimal("0.00045"), Decimal("0.0003"))
    assert found["tokens:llama:input"] == (Decimal("0.0005"), Decimal("0.0001"))
    assert margin.by_day(SYSTEM, span) == [(at.date(), COST, Decimal("0.0004"))]
    assert [(row.revenue, row.cost) for row in margin.by_region(SYSTEM, span)] == [(COST, Decimal("0.0004"))]
    dollars = ProviderDay(replica_id=new_id("rep"), day=at.date(), product="tokens:llama:output")
    dollars.currency, dollars.tokens, dollars.amount = "USD", 300, Decimal("0.0002")
    dollars.save()
    [model] = margin.by_model(SYSTEM, span)
    assert (model.key, model.revenue, model.cost) == ("llama", COST, Decimal("0.0004"))
    assert model.tokens == one.input + one.cached + one.output
    assert model.elsewhere == {"USD": Decimal("0.0002")}
