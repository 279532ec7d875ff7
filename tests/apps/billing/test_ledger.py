"""What PostgreSQL itself refuses, whoever asks and by whatever statement."""

import pytest
from django.db import DatabaseError, connection, transaction

from apps.billing import reconcilers
from apps.billing.models import PriceVersion
from apps.billing.specs import Rate
from apps.core import tenancy
from apps.core.actor import Actor, team_scope
from apps.core.ids import decode
from apps.core.permissions import GRANTS, Role
from tests.factories.billing import after, begin, make_price, make_team, resource

pytestmark = pytest.mark.django_db


@pytest.fixture
def books():
    """A team whose machine has been cut once, and a price that has been followed by another."""
    make_price("type:small", "6", valid_until=after(days=1))
    make_price("type:small", "7", valid_from=after(days=1), previous_until=after(days=1))
    team = make_team("10")
    begin(team, resource(), Rate("type:small"))
    reconcilers.cut_due(now=after(minutes=1))
    return team


def refuse(statement: str) -> str:
    """PostgreSQL's words; the deferred checks are asked at once."""
    with pytest.raises(DatabaseError) as refusal:
        attempt(statement)
    return str(refusal.value)


def attempt(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
        assert cursor.rowcount > 0, "the statement touched nothing"
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


FACTS = ("account", "transaction", "posting", "usageinterval", "ratedusage", "meterchange")
COLUMN = {
    "account": "currency",
    "transaction": "reference",
    "posting": "amount",
    "usageinterval": "resource_id",
}


@pytest.mark.parametrize("table", FACTS)
def test_facts_are_neither_changed_nor_deleted(books, table):
    column = COLUMN.get(table, "team_id")
    assert "Cannot update or delete" in refuse(f"UPDATE billing_{table} SET {column} = {column}")
    assert "Cannot update or delete" in refuse(f"DELETE FROM billing_{table}")


A_POSTING = "INSERT INTO billing_posting (transaction_id, account_id, team_id, amount)"
AN_INTERVAL = (
    "INSERT INTO billing_usageinterval (id, resource_id, team_id, workspace_id, rates, started_at, ended_at,"
    " previous_end) SELECT gen_random_uuid(), resource_id, team_id, workspace_id, rates,"
)
REFUSED = {
    "a posting alone": f"{A_POSTING} SELECT transaction_id, account_id, team_id, 1 FROM"
    f" billing_posting LIMIT 1",
    "a posting of nothing": f"{A_POSTING} SELECT transaction_id, account_id, team_id, 0 FROM"
    f" billing_posting LIMIT 1",
    "the same second again": f"{AN_INTERVAL} started_at, ended_at, previous_end FROM billing_usageinterval",
    "an overlapping interval": f"{AN_INTERVAL} started_at + interval '1 s', ended_at + interval '1 s',"
    " started_at FROM billing_usageinterval",
    "an interval before its predecessor's end": f"{AN_INTERVAL} ended_at - interval '1 s',"
    " ended_at + interval '1 s', ended_at FROM billing_usageinterval",
    "a second first interval": f"{AN_INTERVAL} ended_at, ended_at + interval '1 s', NULL FROM"
    f" billing_usageinterval",
    "an interval that ends before it starts": f"{AN_INTERVAL} ended_at, ended_at, ended_at FROM"
    f" billing_usageinterval",
    "an overdrawn wallet": "UPDATE billing_wallet SET balance = -0.000000000001, held = 0",
    "more held than there is": "UPDATE billing_wallet SET held = balance + 0.000000000001",
    "a lower limit than is used": "UPDATE billing_wallet SET credit_limit = -1",
    "another currency": "UPDATE billing_wallet SET currency = 'USD'",
    "no wallet": "DELETE FROM billing_wallet",
    "a second customer account": "INSERT INTO billing_account (id, kind, currency, team_id)"
    " SELECT gen_random_uuid(), 'customer', currency, team_id FROM billing_wallet",
    "a customer account of nobody": "INSERT INTO billing_account (id, kind, currency)"
    " VALUES (gen_random_uuid(), 'customer', 'EUR')",
    "a changed price": "UPDATE billing_priceversion SET unit_price = 1",
    "a deleted price": "DELETE FROM billing_priceversion",
    "a price with a gap": "UPDATE billing_priceversion SET valid_until = valid_until + interval '1 s'"
    " WHERE valid_until IS NOT NULL",
    "a second open price": "INSERT INTO billing_priceversion (id, product, currency, unit_price,"
    " valid_from, note,"
    " created_by) VALUES (gen_random_uuid(), 'type:small', 'EUR', 1, '2026-01-01', '', '')",
    "a negative price": "INSERT INTO billing_priceversion (id, product, currency, unit_price,"
    " valid_from, note,"
    " created_by) VALUES (gen_random_uuid(), 'ip', 'EUR', -1, '2026-01-01', '', '')",
}


@pytest.mark.parametrize("what", sorted(REFUSED))
def test_postgresql_refuses(books, what):
    refuse(REFUSED[what])


def test_a_team_sees_its_own_side_of_the_ledger_only(books):
    make_team("99")
    member = Actor("m", {team_scope(books.pk): GRANTS[Role.TEAM_BILLING]}, kind="user")
    counted = {}
    with tenancy.as_actor(member), connection.cursor() as cursor:
        for table in ("wallet", "account", "posting", "transaction", "meter", "usageinterval", "hold"):
            cursor.execute(
                f"SELECT count(*), bool_and(team_id = %s) FROM billing_{table}", [decode("team", books.pk)]
            )
            counted[table] = cursor.fetchone()
    assert counted == {
        "wallet": (1, True),
        "account": (1, True),
        "posting": (2, True),
        "transaction": (2, True),
        "meter": (1, True),
        "usageinterval": (1, True),
        "hold": (1, True),
    }
    assert PriceVersion.objects.count() == 2
