"""The gateway under the portal's own address: passed through as it comes, cut when the caller goes."""

import asyncio
import json
from typing import Any

import pytest
from django.test import override_settings

from hostedai.gateway import Gateway as Passage
from tests.factories.teams import key_of
from tests.gateway.engine import Engine, Plan
from tests.gateway.stage import Gateway, make_stage, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


class Caller:
    """The other side of an ASGI server: what it sends, and what it is sent."""

    def __init__(self, body: bytes, secret: str):
        self.sent: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self._body: bytes | None = body
        headers = [
            (b"authorization", f"Bearer {secret}".encode()),
            (b"x-evil", b"1"),
            (b"cookie", b"session=1"),
        ]
        self.scope = {
            "type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"",
            "raw_path": b"/v1/chat/completions", "headers": headers, "client": ("203.0.113.9", 1),
        }  # fmt: skip

    async def receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()


def passed(running: Gateway, caller: Caller) -> None:
    with override_settings(GATEWAY_HOST="127.0.0.1", GATEWAY_PORT=running.state["port"]):
        asyncio.run(asyncio.wait_for(Passage()(caller.scope, caller.receive, caller.send), 90))


def test_a_stream_passes_through_the_portal(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url)
    # Only the portal can say where its callers are.
    outside = key_of(stage.team, "inference:use", allowed_networks=("203.0.113.0/24",))
    stage.ready()
    body = json.dumps(stage.asking(stream=True)).encode()
    caller = Caller(body, outside.secret)
    until(lambda: stage.post().status_code == 200, "the gateway")
    passed(running, caller)
    assert caller.sent[0]["status"] == 200
    assert caller.text.endswith("data: [DONE]\n\n")
    looking = Caller(b"", outside.secret)
    looking.scope |= {"method": "GET", "path": "/v1/models", "raw_path": b"/v1/models"}
    passed(running, looking)
    assert [one["id"] for one in json.loads(looking.text)["data"]] == [stage.slug]
    assert caller.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert b"cookie" not in engine.heads[-1].lower()
    stage.settled(2)


def test_a_caller_that_leaves_the_portal_stops_the_engine(running: Gateway, engine: Engine):
    engine.plan = Plan(tokens=50, wait_at=3)
    stage = make_stage(running, engine.url).ready()
    caller = Caller(json.dumps(stage.asking(stream=True)).encode(), stage.secret)

    async def leave() -> None:
        with override_settings(GATEWAY_HOST="127.0.0.1", GATEWAY_PORT=running.state["port"]):
            passing = asyncio.create_task(Passage()(caller.scope, caller.receive, caller.send))
            while not engine.waiting:
                await asyncio.sleep(0.01)
            caller.gone.set()
            await passing

    asyncio.run(asyncio.wait_for(leave(), 90))
    until(lambda: engine.aborted, "the engine to be stopped")
    (row,) = stage.settled()
    assert (row.outcome, row.output) == ("client_gone", 3)


def test_a_body_that_is_too_large_is_refused_through_the_portal_too(running: Gateway, engine: Engine):
    """The gateway answers and hangs up while the body is still on its way."""
    stage = make_stage(running, engine.url).ready()
    for is_sized in (True, False):
        body = json.dumps(stage.asking(messages=[{"role": "user", "content": "x" * 9_000_000}])).encode()
        caller = Caller(body, stage.secret)
        if is_sized:
            caller.scope["headers"].append((b"content-length", str(len(body)).encode()))
        passed(running, caller)
        assert (caller.sent[0]["status"], "body_too_large" in caller.text) == (413, True)
    stranger = Caller(body, "hai_live_wrong")
    stranger.scope["headers"].append((b"content-length", str(len(body)).encode()))
    passed(running, stranger)
    assert stranger.sent[0]["status"] == 413
    large = json.dumps(stage.asking(messages=[{"role": "user", "content": "x" * 3_000_000}])).encode()
    caller = Caller(large, stage.secret)
    passed(running, caller)
    assert caller.sent[0]["status"] == 200
    stage.settled()


def test_without_a_gateway_the_portal_says_so():
    caller = Caller(b"{}", "hai_live_any")
    with override_settings(GATEWAY_HOST="127.0.0.1", GATEWAY_PORT=1):
        asyncio.run(Passage()(caller.scope, caller.receive, caller.send))
    assert caller.sent[0]["status"] == 503
    assert json.loads(caller.text)["error"]["code"] == "gateway_away"
