"""Usage events: known once, refused when they cannot be true, charged at the price of their moment."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from apps.billing.models import (
    AccountKind,
    Quarantined,
    RatedUsage,
    Transaction,
    UnratedEvent,
    UsageDay,
    UsageEvent,
)
from apps.billing.selectors import proofs, rated
from apps.billing.services import charges, events
from apps.core.actor import SYSTEM, Actor, team_scope
from apps.core.clock import db_now
from apps.core.errors import Invalid, NotPermitted
from apps.core.ids import new_id
from apps.core.permissions import Permission
from tests.factories.billing import START, after, make_price, make_team, total, wallet_of

pytestmark = pytest.mark.django_db


def event(payer, number=1, *, type="rag_pages", quantity="1000", at=START, **more):
    attributes = more.pop("attributes", {})
    return {
        "specversion": "1.0", "id": f"e-{number}", "source": "rag-1", "type": type, "team": payer.pk,
        "subject": "kb_1", "time": at.isoformat(), "data": {"quantity": quantity, **attributes},
    } | more  # fmt: skip


def send(*sent, now=START, actor=SYSTEM):
    return [(str(r.status), r.reason) for r in events.ingest(actor=actor, events=sent, now=now)]


@pytest.fixture
def team():
    make_price("rag-pages", "2")
    return make_team("100")


def test_an_event_is_charged_once_however_often_it_comes(team):
    one = event(team)
    assert send(one, event(team, 2)) == [("accepted", "")] * 2
    assert send(one, one, event(team, 3)) == [("duplicate", ""), ("duplicate", ""), ("accepted", "")]
    assert charges.rate_pending() == 3
    assert charges.rate_pending() == 0
    assert send({**one, "time": "2026-03-01T13:00:00+01:00"}) == [("duplicate", "")]
    assert charges.rate_pending() == 0
    assert wallet_of(team).balance == 94
    assert UsageDay.objects.get().quantity == 3
    assert Transaction.objects.filter(kind="usage").count() == 1
    assert {f.name for f in proofs.verify() if not f.is_ok} == set()


def test_other_content_under_a_known_id_is_set_aside_and_told(team):
    first = event(team)
    assert send(first, event(team, quantity="5")) == [("accepted", ""), ("conflict", "conflict")]
    assert send(event(team, quantity="6"), first) == [("conflict", "conflict"), ("duplicate", "")]
    assert send(event(team, quantity="6")) == [("conflict", "conflict")]
    assert Quarantined.objects.count() == 2
    assert UsageEvent.objects.count() == 1


REFUSED = {
    "unknown_meter": {"type": "wishes"},
    "quantity": {"quantity": "-1"},
    "time": {"at": START - timedelta(days=36)},
    "unknown_team": {"team": new_id("team")},
    "malformed": {"source": ""},
    "unknown_event": {"supersedes": "e-99"},
}


@pytest.mark.parametrize("reason", sorted(REFUSED))
def test_what_cannot_be_true_is_refused_and_leaves_no_trace(team, reason):
    assert send(event(team, **REFUSED[reason]), event(team, 2)) == [("rejected", reason), ("accepted", "")]
    assert UsageEvent.objects.count() == 1


@pytest.mark.parametrize("quantity", [1.5, "1e30", "NaN", "Infinity", True, None, "x", "0.5"])
def test_a_quantity_is_an_exact_number_that_can_be_true(team, quantity):
    assert send(event(team, quantity=quantity)) == [("rejected", "quantity")]


@pytest.mark.parametrize(
    "wrong",
    [
        3, {}, {"data": 1}, {"id": 5}, {"id": "x" * 101}, {"subject": "a\nb"}, {"team": ["x"]},
        {"attributes": {"a": {}}}, {"type": "machine_seconds", "attributes": {"state": "running"}},
        {"type": "machine_seconds", "attributes": {"type": "big", "state": "sleeping"}},
        {"type": "machine_seconds", "attributes": {"type": "x" * 90}},
    ],
)  # fmt: skip
def test_what_is_no_event_is_malformed(team, wrong):
    sent = event(team, **wrong) if isinstance(wrong, dict) and wrong else wrong
    assert send(sent) == [("rejected", "malformed")]


def test_times_are_taken_from_35_days_ago_to_five_minutes_ahead(team):
    sent = [
        event(team, n, at=START + shift)
        for n, shift in enumerate(
            [
                timedelta(days=-35),
                timedelta(minutes=5),
                timedelta(minutes=5, seconds=1),
                timedelta(days=-35, seconds=-1),
            ]
        )
    ]
    assert [status for status, _ in send(*sent)] == ["accepted", "accepted", "rejected", "rejected"]
    naive = {**event(team, 9), "time": "2026-03-01T12:00:00"}
    assert send(naive) == [("rejected", "time")]


def test_a_program_reports_for_its_own_team_only(team):
    other = make_team()
    program = Actor("meter", {team_scope(team.pk): frozenset({Permission.USAGE_INGEST})}, kind="key")
    sent = [event(team), event(other), event(team, 3, workspace=other.workspaces.get().pk)]
    assert send(*sent, actor=program) == [
        ("accepted", ""),
        ("rejected", "unknown_team"),
        ("rejected", "unknown_team"),
    ]
    with pytest.raises(NotPermitted):
        send(event(team), actor=Actor("nobody", {}, kind="user"))
    with pytest.raises(Invalid):
        send(*[event(team)] * 1001)


def test_a_correction_takes_back_what_was_charged_and_charges_anew(team):
    send(event(team))
    charges.rate_pending()
    later = after(hours=1)
    corrected = event(team, 2, quantity="250", supersedes="e-1")
    assert send(corrected, now=later) == [("accepted", "")]
    assert send(event(team, 3, quantity="1", supersedes="e-1"), now=later) == [("rejected", "superseded")]
    charges.rate_pending()
    assert wallet_of(team).balance == Decimal("99.5")
    lines = list(RatedUsage.objects.order_by("id").values_list("amount", "reverses"))
    first = RatedUsage.objects.earliest("id").pk
    assert lines == [(2, None), (-2, first), (Decimal("0.5"), None)]
    facts = [rated.evidence(line) for line in RatedUsage.objects.order_by("id")]
    assert facts[0] == facts[1] == [UsageEvent.objects.get(event_id="e-1").pk]
    assert facts[2] == [UsageEvent.objects.get(event_id="e-2").pk]
    assert {f.name for f in proofs.verify() if not f.is_ok} == set()


def test_a_correction_leaves_a_month_with_included_units_as_if_it_had_been_right_at_once():
    make_price("rag-pages", "2", included="1000")
    team = make_team("5000")
    send(event(team, quantity="1000000"), event(team, 2, quantity="500000"))
    charges.rate_pending()
    assert wallet_of(team).balance == 4000
    send(event(team, 3, quantity="400000", supersedes="e-1"))
    charges.rate_pending()
    assert wallet_of(team).balance == 5000
    assert {f.name for f in proofs.verify() if not f.is_ok} == set()


def test_a_correction_after_a_change_of_the_price_curve_gives_back_what_was_paid():
    make_price("rag-pages", "2", included="1000", valid_until=after(hours=1))
    make_price("rag-pages", "1", included="10", valid_from=after(hours=1), previous_until=after(hours=1))
    team = make_team("5000")
    send(event(team, quantity="1000000"))
    send(event(team, 2, quantity="5000", at=after(hours=2)), now=after(hours=2))
    charges.rate_pending()
    assert wallet_of(team).balance == 4995
    send(event(team, 3, quantity="0", supersedes="e-1"), now=after(hours=2))
    charges.rate_pending()
    assert wallet_of(team).balance == 4995
    assert {f.name for f in proofs.verify() if not f.is_ok} == set()


def test_a_correction_of_what_was_never_paid_gives_nobody_money():
    make_price("rag-pages", "2")
    team = make_team("3")
    send(event(team, quantity="5000"))
    charges.rate_pending()
    send(event(team, 2, quantity="1000", supersedes="e-1"))
    charges.rate_pending()
    assert (wallet_of(team).balance, total(AccountKind.UNCOLLECTED)) == (1, 0)
    assert {f.name for f in proofs.verify() if not f.is_ok} == set()


def test_a_correction_in_the_same_batch_waits_for_what_it_corrects(team):
    send(event(team))
    send(event(team, 2, quantity="0", supersedes="e-1"))
    assert charges.rate_pending() == 2
    assert wallet_of(team).balance == 100
    assert RatedUsage.objects.count() == 3


def test_each_event_costs_what_was_in_force_at_its_moment_and_none_is_guessed():
    make_price("egress", "1", valid_until=after(hours=1))
    make_price("egress", "3", valid_from=after(hours=1), previous_until=after(hours=1))
    team = make_team("100")
    gigabyte = {"type": "egress_bytes", "quantity": 10**9}
    send(
        event(team, 1, **gigabyte, at=after(minutes=59)),
        event(team, 2, **gigabyte, at=after(hours=1)),
        event(team, 3, type="builds", quantity=1),
        now=after(hours=2),
    )
    assert charges.rate_pending() == 3
    assert wallet_of(team).balance == 96
    assert Quarantined.objects.get().reason == "no_price"
    assert UnratedEvent.objects.count() == 0
    assert {f.name for f in proofs.verify() if not f.is_ok} <= {"quarantine"}


def test_machines_cost_by_state_and_market():
    for product, price in (("type:big", 36), ("type:big:spot", 18), ("type:big:stopped", 1)):
        make_price(product, str(price))
    team = make_team("100")
    kinds = [{}, {"market": "spot"}, {"state": "stopped"}]
    send(
        *(
            event(team, n, type="machine_seconds", quantity="1800.5", attributes={"type": "big", **kind})
            for n, kind in enumerate(kinds)
        )
    )
    charges.rate_pending()
    amounts = dict(RatedUsage.objects.values_list("product", "amount"))
    assert amounts == {
        "type:big": Decimal("18.005"),
        "type:big:spot": Decimal("9.0025"),
        "type:big:stopped": Decimal("0.500138888889"),
    }


def test_what_lies_ahead_is_charged_at_the_price_of_its_moment(team):
    """A clock may be five minutes fast, and a price may change within them."""
    now = db_now()
    ahead = event(team, at=now + timedelta(minutes=4))
    assert send(ahead, now=now) == [("accepted", "")]
    assert charges.rate_pending() == 0
    UnratedEvent.objects.update(at=now)
    assert charges.rate_pending() == 1


def test_a_correction_never_overtakes_what_it_corrects(team, monkeypatch):
    """Ids are made by several hosts, whose clocks differ: that of the correction may be the lower one."""
    ids = iter([UUID(int=9), UUID(int=1)])
    monkeypatch.setattr(events, "new_uuid", lambda: next(ids))
    send(event(team, quantity="1000"))
    send(event(team, 2, quantity="5000", supersedes="e-1"))
    assert charges.rate_pending(limit=1) == 2
    assert wallet_of(team).balance == 90
    assert {f.name for f in proofs.verify() if not f.is_ok} == set()


def test_what_would_cost_beyond_belief_is_set_aside(team):
    make_price("builds", "1000000")
    send(event(team, type="builds", quantity=str(10**9)))
    assert charges.rate_pending() == 1
    assert Quarantined.objects.get().reason == "quantity"
    assert wallet_of(team).balance == 100
    assert {f.name for f in proofs.verify() if not f.is_ok} == set()
