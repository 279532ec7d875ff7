"""The playground: what it shows, what it passes on, and that no key ever leaves the server."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from apps.billing.services import tokens, wallets
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.ids import decode, new_id
from apps.core.permissions import Role
from apps.teams.models import ApiKey
from apps.teams.selectors.actors import actor_for_user
from apps.teams.services import revoke_api_key
from tests.factories.billing import make_price, make_usage
from tests.factories.supply import make_region
from tests.factories.teams import TeamFactory, admin_of, member_of, workspace_of
from tests.gateway.stage import make_endpoint

pytestmark = pytest.mark.django_db
EVENTS = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\ndata: [DONE]\n\n'


class FakeGateway:
    """Answers with events once it has refused as often as `refusals` says; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refusals: list[tuple[int, dict[str, Any]]] = []
        self.headers: dict[str, str] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append((self.headers["Authorization"], json.loads(body)))
                status, said = outer.refusals.pop(0) if outer.refusals else (200, None)
                data = EVENTS if said is None else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_words: object) -> None:
                return

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    made = FakeGateway()
    with override_settings(GATEWAY_PORT=made.http.server_port):
        yield made
    made.close()


@pytest.fixture
def team() -> Any:
    return TeamFactory()


def browser_of(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def address(team: Any) -> str:
    return f"/console/{team.slug}/{workspace_of(team).slug}/playground"


def ask(client: Client, team: Any, body: Any) -> Any:
    return client.post(f"{address(team)}/ask", body, "application/json")


ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 9, "key": "x"}


def test_the_page_offers_what_may_be_asked(team: Any) -> None:
    make_endpoint(team, make_region(), "mine")
    make_endpoint(TeamFactory(), make_region(), "foreign")
    make_price("tokens:mine:output", "2")
    make_price("tokens:mine:cached", "0.25")
    client = browser_of(admin_of(team))
    here = address(team)
    client.get(here)
    with CaptureQueriesContext(connection) as statements:
        page = client.get(here).content.decode()
    assert len(statements) <= 15
    assert '"slug": "mine"' in page
    assert re.search(r'"cached": "0\.250*"', page)  # what was cached costs less, in the page's sum too
    assert "foreign" not in page
    assert "hai_live_" not in page


def test_without_a_model_it_says_what_to_do(team: Any) -> None:
    assert "No model to talk to yet" in browser_of(admin_of(team)).get(address(team)).content.decode()


def test_a_question_is_passed_on_with_a_key_that_is_kept(team: Any, gateway: FakeGateway) -> None:
    client = browser_of(admin_of(team))
    for _each in range(2):
        answer = ask(client, team, ASKED)
        assert b"".join(answer) == EVENTS
        assert answer.headers["Cache-Control"] == "no-store, no-transform"
    (first, body), (second, _body) = gateway.asked
    assert first == second
    assert (body["temperature"], body["stream"]) == (2.0, True)
    assert "key" not in body
    key = ApiKey.objects.get()
    assert (key.scopes, key.workspace_id) == (["inference:use"], workspace_of(team).pk)
    secret = first.removeprefix("Bearer ")
    assert secret not in json.dumps(dict(client.session)), "it is sealed"
    revoke_api_key(actor=actor_for_user(admin_of(team)), key=key)
    assert b"".join(ask(client, team, ASKED)) == EVENTS
    assert gateway.asked[-1][0] != first, "a revoked one is replaced"


def test_an_answer_that_is_stopped_still_tells_what_it_used(team: Any, gateway: FakeGateway) -> None:
    client, receipt = browser_of(admin_of(team)), new_id("rcp")
    gateway.headers = {"X-Receipt-Id": receipt}
    first, *_rest = ask(client, team, ASKED)
    assert first == f'event: receipt\ndata: {{"id": "{receipt}"}}\n\n'.encode()

    def told(by: Client, of: str = receipt) -> Any:
        return by.get(f"{address(team)}/usage?receipt={of}")

    assert told(client).json() == {"usage": None}, "it is not settled yet"
    for kind in ("input", "cached", "output"):
        make_price(f"tokens:mine:{kind}", "1")
    wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(1), reason="test")
    pk = decode("rcp", receipt)
    tokens.settle([make_usage(team, (7, 2, 3, 0), slug="mine", at=db_now(), request_id=pk)])
    used = told(client).json()["usage"]
    assert (used["prompt_tokens"], used["completion_tokens"]) == (9, 3)
    assert used["prompt_tokens_details"] == {"cached_tokens": 2}
    assert told(client, "rcp_nonsense").status_code == 422
    assert told(browser_of(admin_of(TeamFactory()))).status_code == 404


def test_a_key_that_the_gateway_does_not_know_yet_is_waited_for(team: Any, gateway: FakeGateway) -> None:
    unknown = {"error": {"message": "Who is this?"}}
    gateway.refusals = [(401, unknown), (401, unknown)]
    assert b"".join(ask(browser_of(admin_of(team)), team, ASKED)) == EVENTS
    assert len(gateway.asked) == 3


def test_a_refusal_is_told_in_its_words(team: Any, gateway: FakeGateway) -> None:
    refused = {"error": {"message": "The balance is used up.", "code": "payment_required"}}
    gateway.refusals = [(402, refused)]
    answer = b"".join(ask(browser_of(admin_of(team)), team, ASKED))
    assert answer.startswith(b"event: refused\n")
    assert json.loads(answer.partition(b"data: ")[2]) == refused["error"]  # the page offers to add funds


HI = {"role": "user", "content": "x"}
BAD = (
    "",
    "{",
    "[]",
    "{}",
    {"model": "m", "messages": []},
    {"model": "m", "messages": [{"role": "tool", "content": ""}]},
    {"model": "m", "messages": [HI], "max_tokens": "many"},
)


@pytest.mark.parametrize("body", BAD)
def test_a_question_that_is_none_is_refused_and_makes_no_key(team: Any, body: Any) -> None:
    answer = ask(browser_of(admin_of(team)), team, body)
    assert answer.status_code == 422
    assert not ApiKey.objects.exists()


def test_only_who_may_use_models_gets_there(team: Any, gateway: FakeGateway) -> None:
    viewer = browser_of(member_of(team, Role.TEAM_VIEWER))
    assert viewer.get(address(team)).status_code == 404
    assert ask(viewer, team, ASKED).status_code == 404
    assert ask(browser_of(admin_of(TeamFactory())), team, ASKED).status_code == 404
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_of(team))
    assert ask(strict, team, ASKED).status_code == 403
    assert not gateway.asked
