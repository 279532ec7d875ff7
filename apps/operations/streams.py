"""The outbox as server-sent events: in order, without gaps, resumable, and cut when the reader's right ends.

A position is `<transaction>-<sequence>`. Readers go by transaction first: once a transaction is older
than every open one, nothing can appear before it any more, so a late commit is never passed over.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error, close_old_connections, connection
from django.db.models import Q
from django.http import HttpRequest

from apps.core import tenancy
from apps.core.actor import Actor
from apps.operations.models import Event
from apps.operations.selectors import behind, here
from apps.operations.specs import Position
from apps.teams.errors import BadKey
from apps.teams.selectors.actors import actor_for_key, actor_for_user

POLL_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
RECHECK_SECONDS = 4.0
LIFETIME_SECONDS = 3600.0
BATCH = 200

# All streams of a process share these threads and so their connections; none is held between polls.
_readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="streams")

Holder = Callable[[], Actor | None]


@dataclass(frozen=True, slots=True)
class Watch:
    """What a reader follows. `holder` says who is asking now; None: the right to look has ended."""

    holder: Holder
    subject: str | None = None
    region_id: str | None = None
    team_id: str | None = None


def events_behind(watch: Watch, actor: Actor, position: Position, *, limit: int = BATCH) -> Sequence[Event]:
    """The next events after the position that the actor may see, in reading order."""
    asked = {"subject": watch.subject, "region_id": watch.region_id, "team_id": watch.team_id}
    wanted = Q(**{name: value for name, value in asked.items() if value is not None})
    return list(behind(position).visible_to(actor).filter(wanted)[:limit])


def session_holder(session_key: str) -> Holder:
    """The person behind a session, for as long as the session and the person are good."""
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore

    def holder() -> Actor | None:
        request = HttpRequest()
        request.session = store(session_key)
        user: Any = get_user(request)
        actor = actor_for_user(user) if user.is_authenticated else None
        return actor if actor and actor.user_id else None

    return holder


def key_holder(secret: str, ip: str | None) -> Holder:
    """The actor behind an API key, for as long as the key is good."""

    def holder() -> Actor | None:
        try:
            return actor_for_key(secret, ip)
        except BadKey:
            return None

    return holder


async def follow(
    watch: Watch, position: Position | None, show: Callable[[Event], bytes] | None = None
) -> AsyncIterator[bytes]:
    """Server-sent events from the position on (None: from now), until the right to read them ends."""
    began = spoke = time.monotonic()
    yield b"retry: 2000\n\n"
    reader = _Reader(watch, position)
    while time.monotonic() - began < LIFETIME_SECONDS:
        events = await asyncio.get_running_loop().run_in_executor(_readers, reader.read)
        if events is None:
            yield b"event: closed\ndata: {}\n\n"
            return
        if events:
            spoke = time.monotonic()
            yield b"".join(map(show or frame, events))
        elif time.monotonic() - spoke > HEARTBEAT_SECONDS:
            spoke = time.monotonic()
            yield b": still here\n\n"
        if len(events) < BATCH:
            await asyncio.sleep(POLL_SECONDS)


class _Reader:
    """One reader's place in the outbox; runs in a thread."""

    def __init__(self, watch: Watch, position: Position | None):
        self.watch, self.position = watch, position
        self.actor: Actor | None = None
        self.asked_at = 0.0

    def read(self) -> Sequence[Event] | None:
        """The next events, or None when the reader may no longer look. A database away is no news."""
        close_old_connections()
        try:
            return self._read()
        except Error:
            return []
        finally:
            _let_go()

    def _read(self) -> Sequence[Event] | None:
        if self.actor is None or time.monotonic() - self.asked_at > RECHECK_SECONDS:
            with tenancy.everything():
                self.actor = self.watch.holder()
            self.asked_at = time.monotonic()
        if self.actor is None:
            return None
        if self.position is None:
            self.position = here()
        with tenancy.as_actor(self.actor):
            events = events_behind(self.watch, self.actor, self.position)
        if events:
            self.position = events[-1].position
        return events


def _let_go() -> None:
    """Leave the thread's connection as a new one is; a broken one is dropped."""
    try:
        tenancy.leave()
    except Error:
        connection.close()


def frame(event: Event) -> bytes:
    """One event on the wire."""
    text = json.dumps(event.envelope, cls=DjangoJSONEncoder)
    return f"id: {event.txid}-{event.seq}\nevent: {event.type}\ndata: {text}\n\n".encode()
