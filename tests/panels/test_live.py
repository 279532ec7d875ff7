"""The live stream tells of changes in one's own place, resumes where it stopped, ends with the session."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import transaction
from django.test import Client

from apps.operations import streams
from apps.operations.services import emit
from apps.panels import live
from apps.panels.kit.places import Place
from apps.teams.models import Team
from tests.factories.teams import TeamFactory, admin_of, workspace_of

# An event is held back while any older transaction of the server is open, be it another test's.
pytestmark = [pytest.mark.serial, pytest.mark.django_db(transaction=True)]
PATIENCE = 60


def session_for(team: Team) -> Any:
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    user = admin_of(team)
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.save()
    return store


def place_of(team: Team) -> Place:
    return Place("console", team.scope, team=team, workspace=workspace_of(team))


def happen(team: Team, kind: str) -> None:
    with transaction.atomic():
        emit(type=kind, subject="ins_test", team_id=team.pk)


async def told(stream: AsyncIterator[bytes]) -> dict[str, str]:
    """The next event of the stream, as its fields."""
    while True:
        text = (await asyncio.wait_for(anext(stream), PATIENCE)).decode()
        if text.startswith(("event:", "id:")):
            return dict(line.split(": ", 1) for line in text.strip().splitlines())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(streams, "RECHECK_SECONDS", 0.2)


def test_a_page_says_from_where_on_it_wants_to_hear(client: Client) -> None:
    team = TeamFactory()
    client.force_login(admin_of(team))
    page = client.get(f"/console/{team.slug}/{workspace_of(team).slug}/instances").content.decode()
    found = re.search(r'<ui-events [^>]*after=([0-9]+-[0-9]+)"', page)
    assert found
    happen(team, "instance.running")  # before the browser has opened its stream
    watch = live.watch_of(place_of(team), session_for(team).session_key, None)

    async def listen() -> None:
        stream = live.news(watch, streams.Position.parse(found[1]))
        await told(stream)
        assert json.loads((await told(stream))["data"])["type"] == "instance.running"
        await stream.aclose()

    asyncio.run(listen())


def test_news_of_ones_own_team_and_none_of_others() -> None:
    ours, theirs = TeamFactory(), TeamFactory()
    watch = live.watch_of(place_of(ours), session_for(ours).session_key, None)
    start = streams.here()

    async def listen() -> None:
        stream = live.news(watch, start)
        assert (await told(stream))["event"] == "hello"
        await sync_to_async(happen)(theirs, "instance.foreign")
        await sync_to_async(happen)(ours, "instance.running")
        news = await told(stream)
        assert json.loads(news["data"]) == {"type": "instance.running", "subject": "ins_test"}
        await stream.aclose()
        await sync_to_async(happen)(ours, "instance.stopped")
        resumed = live.news(watch, streams.Position.parse(news["id"]))
        await told(resumed)
        assert json.loads((await told(resumed))["data"])["type"] == "instance.stopped"
        await resumed.aclose()

    asyncio.run(listen())


def test_the_stream_ends_with_the_session() -> None:
    team = TeamFactory()
    session = session_for(team)
    watch = live.watch_of(place_of(team), session.session_key, None)

    async def listen() -> list[bytes]:
        stream = live.news(watch, None)
        await told(stream)
        await sync_to_async(session.delete)()
        return [text async for text in stream]

    rest = asyncio.run(asyncio.wait_for(listen(), PATIENCE))
    assert b"event: closed" in rest[-1]
