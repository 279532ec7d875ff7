"""`billing_verify` proves sound books, and finds every kind of planted damage."""

import io
import json
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import connection

from apps.billing import reconcilers
from apps.billing.selectors import proofs
from apps.billing.services import charges, charging, events, wallets
from apps.billing.specs import Rate
from apps.core.actor import SYSTEM
from tests.factories.billing import LONG_AGO, after, begin, make_price, make_team, resource

pytestmark = pytest.mark.django_db


@pytest.fixture
def books():
    """Two teams, a running and a gone machine, a price change, and somebody who could not pay."""
    make_price("type:small", "6", valid_until=after(minutes=2))
    make_price("type:small", "7", valid_from=after(minutes=2), previous_until=after(minutes=2))
    make_price("disk", "0.01", valid_from=LONG_AGO)
    rich, poor = make_team("100"), make_team("0.05")
    gone, runs, poorly = resource(), resource(), resource()
    begin(rich, gone, Rate("type:small"), Rate("disk", Decimal("20")), now=after(seconds=1))
    begin(rich, runs, Rate("type:small"))
    begin(poor, poorly, Rate("type:small"))
    begin(rich, gone, Rate("disk", Decimal(20)), now=after(minutes=1))
    reconcilers.cut_due(now=after(minutes=1))
    reconcilers.cut_due(now=after(hours=13))
    charging.end(resource_id=gone, now=after(hours=14))
    charging.end(resource_id=runs, now=after(hours=14))
    charging.end(resource_id=poorly, now=after(hours=14))
    report(rich)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def report(team) -> None:
    """Two events on a price curve, one of which was corrected, received a while ago."""
    make_price("rag-pages", "2", model="graduated", tiers=[["1", "2"], [None, "1"]])
    about = {"source": "rag-1", "type": "rag_pages", "team": team.pk, "time": after(hours=1).isoformat()}
    sent = [{"id": str(n), "data": {"quantity": 1500}, **about} for n in (1, 2)]
    events.ingest(actor=SYSTEM, events=sent, now=after(hours=2))
    charges.rate_pending()
    sent = [{"id": "3", "data": {"quantity": 100}, "supersedes": "1", **about}]
    events.ingest(actor=SYSTEM, events=sent, now=after(hours=2))
    charges.rate_pending()
    wallets.grant_credit(actor=SYSTEM, team=team, amount=Decimal(5), reason="welcome")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_usageevent DISABLE TRIGGER USER")
        cursor.execute("UPDATE billing_usageevent SET received_at = now() - interval '1 hour'")
        cursor.execute("ALTER TABLE billing_usageevent ENABLE TRIGGER USER")


def failed() -> set[str]:
    return {finding.name for finding in proofs.verify() if not finding.is_ok}


def test_sound_books_are_proved(books):
    out = io.StringIO()
    call_command("billing_verify", json=True, stdout=out)
    answer = json.loads(out.getvalue())
    assert answer["ok"] is True
    assert answer["rows"]["usageinterval"] == 9
    assert all(check["ok"] for check in answer["checks"])


def test_a_failed_proof_says_which_and_where_and_exits_with_one(books):
    damage("UPDATE billing_wallet SET balance = balance + 1")
    out = io.StringIO()
    with pytest.raises(SystemExit) as leaving:
        call_command("billing_verify", stdout=out)
    assert leaving.value.code == 1
    assert "FAIL  balance" in out.getvalue()
    assert "team_id=" in out.getvalue()


def damage(statement: str) -> None:
    """What nobody can do but the owner of the tables, with all guards off."""
    with connection.cursor() as cursor:
        for table in (
            "posting",
            "transaction",
            "usageinterval",
            "ratedusage",
            "meterchange",
            "wallet",
            "priceversion",
            "usageevent",
        ):
            cursor.execute(f"ALTER TABLE billing_{table} DISABLE TRIGGER USER")
        cursor.execute("ALTER TABLE billing_wallet DROP CONSTRAINT billing_wallet_covered CASCADE")
        cursor.execute("ALTER TABLE billing_usageinterval DROP CONSTRAINT billing_interval_chain")
        cursor.execute("ALTER TABLE billing_usageinterval DROP CONSTRAINT billing_interval_after_previous")
        cursor.execute("ALTER TABLE billing_priceversion DROP CONSTRAINT billing_price_chain")
        cursor.execute("ALTER TABLE billing_priceversion DROP CONSTRAINT billing_price_no_gap")
        cursor.execute(statement)
        assert cursor.rowcount > 0


A_USAGE = "(SELECT id FROM billing_usageinterval ORDER BY resource_id, started_at LIMIT 1)"
A_BUDGET = (
    "INSERT INTO billing_budget (id, team_id, name, level, subject_id, subject_label, period, amount, action,"
    " period_start, spent, alerted, created_by_label, created_at) SELECT gen_random_uuid(), team_id, 'x',"
    " 'team', gen_random_uuid(), '', 'day', 10, 'notify', now(), 5, {alerted}, '', now()"
    " FROM billing_wallet LIMIT 1"
)
DAMAGE = {
    "postings_sum": "UPDATE billing_posting SET amount = amount + 1 WHERE id = (SELECT min(id) FROM"
    " billing_posting)",
    "one_currency": "UPDATE billing_transaction SET currency = 'USD'",
    "balance": "UPDATE billing_wallet SET balance = balance + 0.000000000001",
    "wallet_limit": "UPDATE billing_wallet SET held = balance + 1",
    "holds_sum": "UPDATE billing_wallet SET held = held + 0.01",
    "holds_expired": "INSERT INTO billing_hold (resource_id, team_id, amount, expires_at, created_at)"
    " SELECT 'ins_x', team_id, 0, now() - interval '31 seconds', now() FROM billing_wallet LIMIT 1",
    "provider_cost": "INSERT INTO billing_providerday (replica_id, day, product, currency, tokens, amount)"
    " VALUES (gen_random_uuid(), now(), 'tokens:llama:input', 'EUR', 1, 0.000000000001)",
    "customer_rows": "UPDATE billing_posting SET team_id = NULL",
    "intervals_chain": "UPDATE billing_usageinterval SET started_at = started_at - interval '1 s'"
    " WHERE previous_end = started_at",
    "intervals_logged": "UPDATE billing_usageinterval SET rates = '[]'",
    "log_charged": "UPDATE billing_meterchange SET at = at - interval '1 s' WHERE seq = 0",
    "meters_at_end": "UPDATE billing_meter SET last_end = last_end - interval '1 s'",
    "meters_parked": "UPDATE billing_meter SET parked_because = 'a test'",
    "rated_once": f"DELETE FROM billing_ratedusage WHERE interval_id = {A_USAGE}",
    "rated_price": "UPDATE billing_ratedusage SET unit_price = unit_price * 2",
    "ledger_usage": f"UPDATE billing_ratedusage SET amount = amount + 0.000000000001 WHERE"
    f" interval_id = {A_USAGE}",
    "usage_owner": "UPDATE billing_ratedusage SET workspace_id = gen_random_uuid()",
    "usage_days": "UPDATE billing_usageday SET amount = amount + 0.000000000001",
    "prices_chain": "UPDATE billing_priceversion SET valid_from = valid_from + interval '1 s' WHERE"
    " previous_until IS NOT NULL",
    "guards": "UPDATE billing_wallet SET held = held",
    "rerated": "UPDATE billing_ratedusage SET amount = amount + 0.000000000001",
    "tokens_rated": "INSERT INTO billing_tokenrequest SELECT gen_random_uuid(), team_id, workspace_id, NULL,"
    " NULL, NULL, 'llama', '', 'stop', false, 1, 0, 0, 0, 0, 0, 0, 0, 'EUR',"
    " ARRAY[(SELECT id FROM billing_priceversion LIMIT 1), NULL, NULL, NULL], NULL, gen_random_uuid(),"
    " now(), now(), now()"
    " FROM billing_usageinterval LIMIT 1",
    "events_once": "DELETE FROM billing_ratedusage WHERE event_id IS NOT NULL",
    "events_prompt": "INSERT INTO billing_unratedevent (event_id, team_id) SELECT id, team_id FROM"
    " billing_usageevent LIMIT 1",
    "events_rated": "UPDATE billing_usageevent SET at = at + interval '1 s'",
    "events_corrected": "UPDATE billing_ratedusage SET amount = amount - 7, position = NULL"
    " WHERE reverses IS NOT NULL",
    "positions": "UPDATE billing_ratedusage SET position = position + 1 WHERE position IS NOT NULL",
    "price_lists": "UPDATE billing_priceversion SET book = 'other' WHERE product = 'rag-pages'",
    "counted_rerated": "UPDATE billing_usageevent SET quantity = quantity + 1",
    "grants_remaining": "UPDATE billing_creditgrant SET remaining = remaining / 2",
    "grants_booked": "UPDATE billing_creditgrant SET amount = amount + 1, remaining = remaining + 1",
    "budgets_spent": A_BUDGET.format(alerted=50),
    "budgets_told": A_BUDGET.format(alerted=0),
    "budgets_alerts": A_BUDGET.format(alerted=50),
    "wallet_account": "UPDATE billing_wallet SET currency = 'USD'",
}


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_planted_damage_is_found(books, name):
    damage(DAMAGE[name])
    assert name in failed()


def test_every_check_is_tried():
    above = ("invoice_", "credit_notes", "payment_")  # tried where they are made
    assert set(DAMAGE) == {name for name in proofs.CHECKS if not name.startswith(above)} | {*proofs.RERATED}
