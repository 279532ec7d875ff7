"""Every table of tenants is hidden by PostgreSQL itself; a new one that is not fails here."""

from typing import Any

import pytest
from django.db import connection

from apps.core import tenancy
from apps.gpupools.models import GpuPool
from tests.factories.supply import make_pool, make_supply
from tests.factories.teams import TeamFactory, actor_of

pytestmark = pytest.mark.django_db

# Rows that are read before anybody is known, by the packages that own them; nothing else may reach them.
AT_THE_DOOR = {
    "account_emailaddress",
    "mfa_authenticator",
    "users_staffrole",
    "usersessions_usersession",
}
# The stock of cards: whoever launches must see what is free, and none of these rows says whose it is.
STOCK = {"gpupools_gpudevice", "gpupools_gpuhold"}

_OPEN_TABLES = """
SELECT t.relname, array_agg(a.attname::text)
  FROM pg_class t
  JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE t.relnamespace = 'public'::regnamespace AND t.relkind IN ('r', 'p')
   AND NOT (t.relrowsecurity AND t.relforcerowsecurity)
   AND (a.attname IN ('team_id', 'workspace_id', 'user_id')
        OR EXISTS (SELECT 1 FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid
                    WHERE k.conrelid = t.oid AND k.contype = 'f' AND a.attnum = ANY(k.conkey)
                      AND f.relrowsecurity))
 GROUP BY t.relname ORDER BY t.relname
"""
_WITHOUT_POLICY = """
SELECT relname FROM pg_class t
 WHERE relrowsecurity AND NOT EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = t.oid)
"""
_LOOSE_FUNCTIONS = """
SELECT proname FROM pg_proc
 WHERE pronamespace = 'public'::regnamespace AND prosecdef
   AND NOT EXISTS (SELECT 1 FROM unnest(proconfig) AS c WHERE starts_with(c, 'search_path='))
"""


def _rows(question: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return list(cursor.fetchall())


def test_what_belongs_to_a_team_or_a_person_is_behind_row_security() -> None:
    """By its own column, or because it hangs on a row that is."""
    found = dict(_rows(_OPEN_TABLES))
    assert {table: found[table] for table in sorted(found.keys() - AT_THE_DOOR - STOCK)} == {}


def test_row_security_always_has_a_rule() -> None:
    assert _rows(_WITHOUT_POLICY) == []


def test_no_function_lends_its_owners_rights_through_a_search_path() -> None:
    assert _rows(_LOOSE_FUNCTIONS) == []


def test_our_role_is_held_to_it() -> None:
    assert _rows("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user") == [(False,)]


def test_pools_are_shown_to_everybody_unless_a_team_owns_them() -> None:
    ours, theirs = TeamFactory(), TeamFactory()
    supply = make_supply()
    private = make_pool(supply.region, supply.model, team=theirs)
    assert supply.pool is not None

    def seen_by(team: Any) -> set[str]:
        with tenancy.as_actor(actor_of(team)):
            return set(GpuPool.objects.values_list("pk", flat=True))

    assert seen_by(ours) == {supply.pool.pk}
    assert seen_by(theirs) == {supply.pool.pk, private.pk}
