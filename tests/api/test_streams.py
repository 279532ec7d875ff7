"""Events: pages of the past, and streams that go on, resume and end with the right to read them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from django.db import connection, connections, transaction

from apps.core.actor import SYSTEM
from apps.operations.models import Event
from apps.operations.selectors import here
from apps.operations.services import emit
from apps.operations.specs import Position
from apps.operations.streams import Watch, _readers, events_behind, follow, key_holder
from apps.teams.models import Team, Workspace
from apps.teams.selectors.actors import actor_for_key
from apps.teams.services import revoke_api_key
from tests.api.world import Caller, team_caller
from tests.factories.teams import TeamFactory, actor_of, key_of

EVENTS = "/api/user/v1/events"
PATIENCE = 60.0
HAPPEN = (
    "INSERT INTO operations_event (txid, id, type, subject, data)"
    " VALUES (pg_current_xact_id()::text::bigint, gen_random_uuid(), 'test.happened', %s, '{}')"
)


@pytest.fixture
def team(db: None) -> Team:
    return TeamFactory()


def happen(team: Team, subject: str) -> None:
    emit(type="test.happened", subject=subject, team_id=team.pk)


def subjects(events: object) -> list[str]:
    return [one.subject for one in events if one.type == "test.happened"]  # type: ignore[attr-defined]


def wait_for(position: Position, number: int) -> list[Event]:
    """What follows the position, once it is that many: any open transaction of the server holds news back."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = [
            one for one in events_behind(Watch(lambda: None), SYSTEM, position) if one.type == "test.happened"
        ]
        if len(found) >= number:
            return found
        time.sleep(0.05)
    raise AssertionError(f"fewer than {number} events")


def test_a_page_holds_the_teams_own_events_newest_first(team: Team) -> None:
    happen(team, "one")
    happen(TeamFactory(), "foreign")
    happen(team, "two")
    answer = team_caller(team).get(f"{EVENTS}?type=test.happened")
    assert [item["subject"] for item in answer.json()["items"]] == ["two", "one"]


def test_reading_goes_on_where_it_stopped(team: Team) -> None:
    start = here()
    happen(team, "one")
    happen(team, "two")
    watch = Watch(lambda: None)
    first = events_behind(watch, SYSTEM, start, limit=1)
    rest = events_behind(watch, SYSTEM, Position(first[0].txid, first[0].seq))
    assert subjects([*first, *rest])[-2:] == ["one", "two"]


@pytest.mark.serial
@pytest.mark.django_db(transaction=True)
def test_an_event_that_commits_late_is_not_passed_over() -> None:
    """A transaction that began later may take its number earlier; by sequence alone it would be lost."""
    team = TeamFactory()
    start = here()
    other = connections.create_connection("default")
    try:
        with transaction.atomic():
            happen(team, "older transaction")
            with other.cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute(HAPPEN, ["late"])
            happen(team, "older transaction again")
        seen = wait_for(start, 1)
        assert subjects(seen)[0] == "older transaction"
        assert "late" not in subjects(seen)
        with other.cursor() as cursor:
            cursor.execute("COMMIT")
        rest = wait_for(seen[-1].position, 3 - len(seen))
        assert {*subjects(rest)} == {"late", "older transaction again"} - {*subjects(seen)}
    finally:
        other.close()


@pytest.mark.serial
@pytest.mark.django_db(transaction=True)
def test_what_an_event_led_to_comes_after_it() -> None:
    """A transaction may have its number, wait for one with a higher number, and go on from what that did."""
    team = TeamFactory()
    start = here()
    other = connections.create_connection("default")
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_current_xact_id()")
            with other.cursor() as cursor:
                cursor.execute(HAPPEN, ["cause"])
            happen(team, "effect")
        assert subjects(wait_for(start, 2)) == ["cause", "effect"]
    finally:
        other.close()


def test_bad_positions_are_refused(team: Team) -> None:
    call = team_caller(team)
    assert call.get(EVENTS, Accept="text/event-stream", Last_Event_ID="x").status_code == 422


def test_a_key_of_a_workspace_sees_what_happens_there(team: Team) -> None:
    mine = team.workspaces.get()
    other = Workspace.objects.create(team=team, name="Other", slug="other")
    for workspace_id in (mine.pk, other.pk, None):
        emit(type="x.happened", subject=f"x_{workspace_id}"[:40], team_id=team.pk, workspace_id=workspace_id)
    bound = team_caller(team, workspace=mine)
    assert [one["subject"] for one in bound.get(EVENTS).json()["items"]] == [f"x_{mine.pk}"[:40]]
    assert len(team_caller(team).get(f"{EVENTS}?type=x.happened").json()["items"]) == 3


def test_a_stream_is_not_for_everybody(team: Team) -> None:
    answer = Caller().get(EVENTS, Accept="text/event-stream")
    assert (answer.status_code, answer["Content-Type"]) == (401, "application/problem+json")


@pytest.mark.serial
@pytest.mark.django_db(transaction=True)
def test_a_stream_tells_what_happens_and_ends_with_the_key() -> None:
    team = TeamFactory()
    issued = key_of(team)
    watch = Watch(key_holder(issued.secret, "127.0.0.1"), team_id=team.pk)
    start = here()
    happen(team, "before")

    async def listen() -> tuple[bytes, bytes]:
        stream: AsyncIterator[bytes] = follow(watch, start)
        async with aclosing(stream), asyncio.timeout(PATIENCE):  # type: ignore[type-var]
            told = b""
            while b"before" not in told:
                told += await anext(stream)
            await asyncio.to_thread(_revoke, team, issued.secret)
            last = b""
            async for piece in stream:
                last = piece
            return told, last

    told, last = asyncio.run(listen())
    assert b"event: test.happened" in told
    assert last.startswith(b"event: closed")
    _readers.submit(connections.close_all).result()


def _revoke(team: Team, secret: str) -> None:
    try:
        key = actor_for_key(secret, None).key_id
        revoke_api_key(actor=actor_of(team), key=team.api_keys.get(pk=key))
    finally:
        connections.close_all()


def test_positions_are_read_strictly() -> None:
    assert Position.parse("12-34") == Position(12, 34)
    for text in ("", "12", "a-b", "-1-2", "１-2", "9" * 30 + "-1"):
        assert Position.parse(text) is None
    assert Event._meta.pk.name == "seq"
