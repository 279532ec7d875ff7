"""The terminal: one ticket, one person, one origin; recorded; cut when rights, machine or patience end.

The machine is an SSH server inside the test; the browser is the ASGI conversation itself.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connections

from apps.audit.models import Record
from apps.core.actor import SYSTEM
from apps.instances import services
from apps.instances.models import Instance
from apps.panels.terminal import socket
from apps.panels.terminal.socket import SUBPROTOCOL, Terminal
from apps.teams.services import remove_member
from tests.factories.instances import Stage, make_stage
from tests.factories.teams import actor_of, admin_of, member_of

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = "http://testserver"
PATIENCE = 60


class Browser:
    """A browser's side of one WebSocket."""

    def __init__(self, terminal: Terminal, path: str, ticket: str, session: str, **headers: str) -> None:
        said = {"host": "testserver", "origin": ORIGIN, "cookie": f"sessionid={session}", **headers}
        self.scope = {
            "type": "websocket",
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in said.items()],
            "subprotocols": [SUBPROTOCOL, ticket],
        }
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.inbox.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(terminal(self.scope, self.inbox.get, self.outbox.put))

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.outbox.get(), PATIENCE)

    async def ready(self) -> None:
        assert (await self.next())["type"] == "websocket.accept"
        assert json.loads((await self.next())["text"]) == {"type": "ready"}

    def type(self, text: str) -> None:
        self.inbox.put_nowait(
            {"type": "websocket.receive", "text": json.dumps({"type": "input", "data": text})}
        )

    async def read_until(self, wanted: bytes) -> bytes:
        seen = b""
        while wanted not in seen:
            seen += (await self.next())["bytes"]
        return seen

    async def end(self) -> dict[str, Any]:
        """What the socket was closed with."""
        while (event := await self.next())["type"] != "websocket.close":
            pass
        await asyncio.wait_for(self.task, PATIENCE)
        return event

    async def leave(self) -> None:
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await asyncio.wait_for(self.task, PATIENCE)


class Machine(asyncssh.SSHServer):
    """Lets everybody in and answers each line."""

    def begin_auth(self, username: str) -> bool:
        return False


async def answer(process: asyncssh.SSHServerProcess) -> None:
    process.stdout.write("welcome\r\n")
    async for line in process.stdin:
        process.stdout.write(f"you said {line.strip()}\r\n")
        if line.strip() == "exit":
            break
    process.exit(0)


class Echo:
    """A serial console that repeats what is written to it."""

    def __init__(self) -> None:
        self.data = b"login: "
        self.is_closed = False

    def read(self, timeout: float) -> bytes | None:
        data, self.data = self.data, b""
        return None if self.is_closed else data

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.is_closed = True


def session_for(user: Any) -> str:
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.save()
    return str(store.session_key)


@pytest.fixture
def stage(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(socket, "LOOK_SECONDS", 0.2)
    settings.RECORDINGS_DIR = tmp_path / "recordings"
    return make_stage(tmp_path)


@pytest.fixture
def instance(stage: Stage) -> Instance:
    return stage.running(name="alive")


def converse(
    stage: Stage,
    instance: Instance,
    talk: Callable[..., Awaitable[None]],
    *,
    idle: float = 900,
    host_key: str = "",
) -> None:
    """Start the machine's SSH server, let the talk open sockets, and end all threads' connections."""
    console = Echo()

    async def main() -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        server = await asyncssh.create_server(
            Machine, "127.0.0.1", 0, server_host_keys=[key], process_factory=answer, encoding="utf-8"
        )
        shown = host_key or key.export_public_key().decode().strip()
        port = server.sockets[0].getsockname()[1]
        where = {"address": "127.0.0.1", "ssh_port": port, "host_key": shown}
        await sync_to_async(Instance.objects.filter(pk=instance.pk).update)(**where)
        try:
            await talk(Terminal(lambda _id: console, idle))
        finally:
            server.close()
            await server.wait_closed()

    def finish() -> None:
        connections.close_all()

    async def everything() -> None:
        try:
            await main()
        finally:
            await sync_to_async(finish, thread_sensitive=False)()

    asyncio.run(everything())


def ticket_of(stage: Stage, instance: Instance, kind: str = "terminal") -> str:
    issue = services.issue_terminal_ticket if kind == "terminal" else services.issue_console_ticket
    return issue(actor=stage.actor, instance_id=instance.pk, origin=ORIGIN)


def test_a_typed_line_is_answered_and_the_screen_recorded(
    stage: Stage, instance: Instance, tmp_path: Path
) -> None:
    ticket, session = ticket_of(stage, instance), session_for(admin_of(stage.team))

    async def talk(terminal: Terminal) -> None:
        browser = Browser(terminal, "/terminal", ticket, session)
        await browser.ready()
        await browser.read_until(b"welcome")
        browser.type("hello\n")
        await browser.read_until(b"you said hello")
        browser.type("exit\n")
        assert (await browser.end())["code"] == 1000

    converse(stage, instance, talk)
    (cast,) = (tmp_path / "recordings").rglob("*.cast")
    lines = [json.loads(line) for line in cast.read_text().splitlines()]
    assert lines[0]["version"] == 2
    assert "you said hello" in "".join(line[2] for line in lines[1:] if line[1] == "o")
    closed = Record.objects.get(action="instance.terminal_closed")
    assert closed.data["sha256"] == hashlib.sha256(cast.read_bytes()).hexdigest()
    assert closed.user_id == admin_of(stage.team).pk
    assert oct(cast.stat().st_mode)[-3:] == "600"


def test_a_ticket_opens_once_and_only_where_it_was_meant(stage: Stage, instance: Instance) -> None:
    session = session_for(admin_of(stage.team))
    other = session_for(member_of(stage.team))
    tickets = [ticket_of(stage, instance) for _each in range(5)]

    async def talk(terminal: Terminal) -> None:
        wrong = [
            Browser(terminal, "/terminal", "no-such-ticket", session),
            Browser(terminal, "/terminal", tickets[0], session, origin="https://evil.example"),
            Browser(terminal, "/terminal", tickets[1], session, origin="https://testserver"),
            Browser(terminal, "/terminal", tickets[2], other),
            Browser(terminal, "/console-screen", tickets[3], session),
            Browser(terminal, "/elsewhere", tickets[4], session),
        ]
        for browser in wrong:
            assert (await browser.next())["type"] == "websocket.close"
        good = Browser(terminal, "/terminal", tickets[4], session)
        await good.ready()
        again = Browser(terminal, "/terminal", tickets[4], session)
        assert (await again.next())["type"] == "websocket.close"
        await good.leave()

    converse(stage, instance, talk)


def test_a_machine_with_another_host_key_is_not_spoken_to(stage: Stage, instance: Instance) -> None:
    ticket, session = ticket_of(stage, instance), session_for(admin_of(stage.team))
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()

    async def talk(terminal: Terminal) -> None:
        browser = Browser(terminal, "/terminal", ticket, session)
        assert (await browser.next())["type"] == "websocket.accept"
        assert (await browser.end())["code"] == 4502

    converse(stage, instance, talk, host_key=other)


def test_who_loses_the_right_loses_the_screen(stage: Stage, instance: Instance) -> None:
    user = member_of(stage.team)
    session = session_for(user)
    issue = services.issue_terminal_ticket
    ticket = issue(actor=actor_of(stage.team, user), instance_id=instance.pk, origin=ORIGIN)

    async def talk(terminal: Terminal) -> None:
        browser = Browser(terminal, "/terminal", ticket, session)
        await browser.ready()
        await sync_to_async(end_membership)()
        assert (await browser.end())["code"] == 4403

    def end_membership() -> None:
        membership = stage.team.memberships.get(user=user)
        remove_member(actor=SYSTEM, member=membership)

    converse(stage, instance, talk)


def test_signing_out_and_stopping_end_the_screen(stage: Stage, instance: Instance) -> None:
    admin = admin_of(stage.team)
    sessions = [session_for(admin), session_for(admin)]
    tickets = [ticket_of(stage, instance) for _each in range(2)]

    async def talk(terminal: Terminal) -> None:
        first = Browser(terminal, "/terminal", tickets[0], sessions[0])
        await first.ready()
        store = import_module(settings.SESSION_ENGINE).SessionStore
        await sync_to_async(store(sessions[0]).delete)()
        assert (await first.end())["code"] == 4403
        second = Browser(terminal, "/terminal", tickets[1], sessions[1])
        await second.ready()
        await sync_to_async(Instance.objects.filter(pk=instance.pk).update)(state="stopping")
        assert (await second.end())["code"] == 4403

    converse(stage, instance, talk)


def test_a_new_password_ends_the_screens_of_other_browsers(stage: Stage, instance: Instance) -> None:
    """Their session rows are still there; what was signed with the old password is not good any more."""
    admin = admin_of(stage.team)
    ticket, session = ticket_of(stage, instance), session_for(admin)

    def change_password() -> None:
        admin.set_password("another-pass-phrase-4")
        admin.save(update_fields=["password"])

    async def talk(terminal: Terminal) -> None:
        browser = Browser(terminal, "/terminal", ticket, session)
        await browser.ready()
        await sync_to_async(change_password)()
        assert (await browser.end())["code"] == 4403

    converse(stage, instance, talk)


def test_an_idle_screen_is_closed(stage: Stage, instance: Instance) -> None:
    ticket, session = ticket_of(stage, instance), session_for(admin_of(stage.team))

    async def talk(terminal: Terminal) -> None:
        browser = Browser(terminal, "/terminal", ticket, session)
        await browser.ready()
        assert (await browser.end())["code"] == 4408

    converse(stage, instance, talk, idle=0.3)


def test_the_serial_console_is_the_same_screen(stage: Stage, instance: Instance) -> None:
    ticket, session = ticket_of(stage, instance, "console"), session_for(admin_of(stage.team))

    async def talk(terminal: Terminal) -> None:
        browser = Browser(terminal, "/console-screen", ticket, session)
        await browser.ready()
        await browser.read_until(b"login: ")
        browser.type("root\n")
        await browser.read_until(b"root")
        await browser.leave()

    converse(stage, instance, talk)
    assert Record.objects.filter(action="instance.console_closed").exists()


def test_nonsense_is_ignored_and_too_much_ends_it(stage: Stage, instance: Instance) -> None:
    ticket, session = ticket_of(stage, instance), session_for(admin_of(stage.team))

    async def talk(terminal: Terminal) -> None:
        browser = Browser(terminal, "/terminal", ticket, session)
        await browser.ready()
        nonsense = ("", "{", "[]", "[" * 60_000, '{"type":"resize","cols":-1,"rows":9}')
        for text in (*nonsense, '{"type":"input","data":7}', '{"type":"input","data":"\\ud800\\n"}'):
            browser.inbox.put_nowait({"type": "websocket.receive", "text": text})
        browser.type("still here\n")
        await browser.read_until(b"you said still here")
        browser.inbox.put_nowait({"type": "websocket.receive", "text": "x" * 70_000})
        assert (await browser.end())["code"] == 1009

    converse(stage, instance, talk)
