"""The audit log: complete, append-only and sealed."""

import pytest
from django.db import DatabaseError, connection, transaction

from apps.audit import services
from apps.audit.models import Block, Record
from apps.audit.selectors import GENESIS, records, verify_chain
from apps.core.actor import SYSTEM, Actor
from apps.core.ids import new_id
from apps.core.permissions import Role
from tests.factories.teams import TeamFactory, actor_of, member_of, workspace_of
from tests.factories.users import UserFactory

pytestmark = pytest.mark.django_db


def note(action: str = "test.done", **data: object) -> Record:
    return services.record(actor=SYSTEM, action=action, target=UserFactory(), **data)


def test_a_record_says_who_did_what_to_what_where() -> None:
    team = TeamFactory()
    workspace = workspace_of(team)
    actor = Actor(
        "Ada", kind="key", user_id=new_id("usr"), key_id=new_id("key"), ip="192.0.2.1", request_id="req-1"
    )
    row = services.record(actor=actor, action="workspace.looked", target=workspace, why="test")
    row.refresh_from_db()
    assert (row.actor_label, row.ip, row.request_id, row.key_id) == (
        "Ada",
        "192.0.2.1",
        "req-1",
        actor.key_id,
    )
    assert (row.target_type, row.target_id, row.team_id) == ("workspace", workspace.pk, team.pk)
    assert row.data == {"why": "test"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_record SET action = 'x'",
        "UPDATE audit_record SET block_id = NULL",
        "DELETE FROM audit_record",
        "UPDATE audit_block SET hash = 'x'",
        "DELETE FROM audit_block",
    ],
)
def test_nothing_is_ever_changed(statement: str) -> None:
    note()
    services.seal_block()
    note()
    with pytest.raises(DatabaseError), transaction.atomic():
        connection.cursor().execute(statement)


def test_blocks_hold_every_record_once_and_chain() -> None:
    while services.seal_block():
        pass
    before = verify_chain()
    for _ in range(3):
        note()
    first = services.seal_block(limit=2)
    second = services.seal_block()
    assert first is not None
    assert second is not None
    assert second.previous_hash == first.hash
    assert first.previous_hash == (before.head if before.blocks else GENESIS)
    assert services.seal_block() is None
    proof = verify_chain()
    assert proof.is_whole
    assert (proof.blocks, proof.unsealed) == (before.blocks + 2, 0)
    assert proof.records == Record.objects.count()


def test_a_changed_record_breaks_the_chain_where_it_stands() -> None:
    while services.seal_block():
        pass
    note()
    block = services.seal_block()
    note()
    services.seal_block()
    assert block is not None
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE audit_record DISABLE TRIGGER USER")
        cursor.execute("UPDATE audit_record SET actor_label = 'nobody' WHERE block_id = %s", [block.pk])
        cursor.execute("ALTER TABLE audit_record ENABLE TRIGGER USER")
    assert verify_chain().broken_at == block.number
    assert Block.objects.filter(number=block.number).exists()


def test_admins_of_a_team_read_its_records_and_nobody_else_does() -> None:
    mine, foreign = TeamFactory(), TeamFactory()
    assert {row.team_id for row in records(actor_of(mine))} == {mine.pk}
    assert not records(actor_of(mine, member_of(mine, Role.TEAM_VIEWER))).exists()
    assert {mine.pk, foreign.pk} <= set(records(SYSTEM).values_list("team_id", flat=True))
