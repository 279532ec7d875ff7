"""The live stream tells of changes in one's own place, resumes where it stopped, ends with the session."""

import asyncio
import json
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.db import transaction

from apps.operations.selectors import latest_seq
from apps.operations.services import emit
from apps.panels import live
from apps.panels.kit.places import Place
from apps.teams.models import Team
from tests.factories.teams import TeamFactory, actor_of, admin_of, workspace_of

# An event is held back while any older transaction of the server is open, be it another test's.
pytestmark = [pytest.mark.serial, pytest.mark.django_db(transaction=True)]
PATIENCE = 60


def session_for(team: Team) -> Any:
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store[SESSION_KEY] = str(admin_of(team).pk)
    store.save()
    return store


def place_of(team: Team) -> Place:
    return Place("console", team.scope, team=team, workspace=workspace_of(team))


def happen(team: Team, kind: str) -> None:
    with transaction.atomic():
        emit(type=kind, subject="ins_test", team_id=team.pk)


async def told(stream: AsyncIterator[str]) -> dict[str, str]:
    """The next thing the stream says, comments aside, as its fields."""
    while True:
        text = await asyncio.wait_for(anext(stream), PATIENCE)
        if not text.startswith(":"):
            return dict(line.split(": ", 1) for line in text.strip().splitlines())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_EVERY", 0.05)


def test_news_of_ones_own_team_and_none_of_others(tmp_path: Path) -> None:
    ours, theirs = TeamFactory(), TeamFactory()
    session, place, actor = session_for(ours), place_of(ours), actor_of(ours)
    start = latest_seq()

    async def listen() -> None:
        stream = live._news(session.session_key, actor, place, None, start)
        assert (await told(stream))["event"] == "hello"
        await sync_to_async(happen)(theirs, "instance.foreign")
        await sync_to_async(happen)(ours, "instance.running")
        news = await told(stream)
        assert json.loads(news["data"]) == {"type": "instance.running", "subject": "ins_test"}
        await stream.aclose()
        await sync_to_async(happen)(ours, "instance.stopped")
        resumed = live._news(session.session_key, actor, place, None, int(news["id"]))
        await told(resumed)
        assert json.loads((await told(resumed))["data"])["type"] == "instance.stopped"
        await resumed.aclose()

    asyncio.run(listen())


def test_the_stream_ends_with_the_session() -> None:
    team = TeamFactory()
    session, place, actor = session_for(team), place_of(team), actor_of(team)

    async def listen() -> list[str]:
        stream = live._news(session.session_key, actor, place, None, None)
        await told(stream)
        await sync_to_async(session.delete)()
        return [text async for text in stream]

    rest = asyncio.run(asyncio.wait_for(listen(), PATIENCE))
    assert all("event: changed" not in text for text in rest)
