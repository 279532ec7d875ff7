"""Hot statements do what the ORM does, and PostgreSQL keeps their plans."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.audit.models import Record
from apps.core import statements
from apps.core.clock import db_now
from apps.core.ids import decode, new_id
from apps.operations.models import Event, IdempotencyKey, Schedule
from apps.storage.models import Volume
from apps.teams.models import Team, Workspace
from tests.factories.teams import TeamFactory, workspace_of

pytestmark = pytest.mark.django_db


def test_an_inserted_row_is_what_the_orm_reads() -> None:
    made = Record(action="x.done", actor_kind="user", actor_label="ada", target_type="t", target_id="1",
                  team_id=new_id("team"), ip="2001:db8::1", data={"a": [1, "ü"]})  # fmt: skip
    statements.insert(made)
    read = Record.objects.get(pk=made.pk)
    assert {f.attname: getattr(made, f.attname) for f in Record._meta.concrete_fields} == {
        f.attname: getattr(read, f.attname) for f in Record._meta.concrete_fields
    }
    assert made.at.tzinfo is not None


def test_the_database_makes_the_keys_it_makes() -> None:
    made = IdempotencyKey(owner="o", key="k", fingerprint="f")
    statements.insert(made)
    assert IdempotencyKey.objects.get(owner="o").pk == made.pk
    with pytest.raises(IntegrityError, match="idempotency_key_once"), transaction.atomic():
        statements.insert(IdempotencyKey(owner="o", key="k", fingerprint="f"))


def test_a_row_is_selected_as_the_orm_would() -> None:
    workspace = workspace_of(TeamFactory())
    found = statements.select(Workspace, "id = %s", [decode("wks", workspace.pk)])
    assert found is not None
    assert (found, found.team_id, found.created_at) == (workspace, workspace.team_id, workspace.created_at)
    assert found.team == Team.objects.get(pk=workspace.team_id)
    assert statements.select(Workspace, "slug = %s", ["nowhere"]) is None


def test_an_update_changes_only_rows_that_are_as_expected() -> None:
    Schedule.objects.create(name="a")
    before = db_now()
    changes = {"due_at": timedelta(hours=1), "last_error": "late"}
    assert statements.update(Schedule, {"name": "a", "last_error": "other"}, changes) == 0
    assert statements.update(Schedule, {"name": "a", "last_error": ""}, changes) == 1
    row = Schedule.objects.get()
    assert row.last_error == "late"
    assert before + timedelta(hours=1) <= row.due_at <= db_now() + timedelta(hours=1)


def test_one_cursor_serves_all_and_queries_are_counted() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert statements.fetch_one("SELECT %s::int", [1]) == (1,)
        assert statements.fetch_all("SELECT n FROM generate_series(1, %s) n", [3]) == [(1,), (2,), (3,)]
        assert statements.run("UPDATE teams_team SET name = name WHERE false") == 0
    assert len(queries) == 3


def test_plans_are_kept() -> None:
    for _each in range(3):
        assert statements.fetch_one("SELECT count(*) FROM teams_team WHERE slug = %s", ["kept"]) == (0,)
    kept = statements.fetch_one(
        "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s", ["%teams_team WHERE slug%"]
    )
    assert kept == (1,)


def test_every_model_that_is_inserted_hot_has_only_plain_columns() -> None:
    """Generated columns would have to be left out."""
    for model in (Record, Event, Volume, IdempotencyKey):
        assert not [field for field in model._meta.concrete_fields if getattr(field, "generated", False)]
