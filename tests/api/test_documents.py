"""The committed OpenAPI documents, and the pages that show them."""

import json
import re
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import resolve

from apps.api.audiences import AUDIENCES, Audience
from apps.api.docs import path_of
from apps.api.isolation.routes import Route, routes


def test_the_committed_documents_are_up_to_date() -> None:
    call_command("openapi", "--check", stdout=StringIO())


def served(audience: Audience) -> list[Route]:
    return [one for one in routes() if one.face == "api" and one.audience == audience.name]


@pytest.mark.parametrize("audience", AUDIENCES, ids=lambda one: one.name)
def test_every_address_is_described_once_and_leads_there(audience: Audience) -> None:
    paths = json.loads(path_of(audience).read_text())["paths"]
    assert sorted(map(str, served(audience))) == sorted(
        f"{method.upper()} {path}" for path, item in paths.items() for method in item
    )
    calls = [call for item in paths.values() for call in item.values()]
    assert all(call["summary"] for call in calls)
    assert len({call["operationId"] for call in calls}) == len(calls)
    for route in served(audience):
        found = resolve(re.sub(r"{\w+}", "x", route.template)).func
        assert (found.cls, found.actions[route.method]) == (route.view, route.action)


@pytest.mark.parametrize(
    ("audience", "addresses"),
    [
        ("user", {"POST /cost/estimate", "GET /cost/advice", "GET /sse/stream"}),
        ("admin", {"POST /admin/instances/launch", "GET /admin/instances/status"}),
        ("cluster", set()),
        ("agent", {"POST /admin/nodes/register", "POST /admin/nodes/{id}/heartbeat"}),
    ],
)
def test_an_older_address_is_described_as_the_call_it_is(audience: str, addresses: set[str]) -> None:
    known = next(one for one in AUDIENCES if one.name == audience)
    paths = json.loads(path_of(known).read_text())["paths"]
    older = [one for one in served(known) if not one.template.startswith(f"/{known.prefix}")]
    assert set(map(str, older)) == addresses
    calls = {(one.view, one.action): one for one in served(known) if one not in older}
    for route in older:
        now = calls[route.view, route.action]
        here, there = paths[route.template][route.method], paths[now.template][now.method]
        own = {"operationId", "description", "tags"}
        assert {name for name in there if here[name] != there[name]} == own
        assert str(now) in here["description"]


@pytest.mark.parametrize("audience", AUDIENCES, ids=lambda one: one.name)
def test_the_page_shows_every_call_and_runs_nothing(audience: Audience, db: None) -> None:
    answer = Client().get(f"/{audience.prefix}docs")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert not re.search(r"<script|style=|\son\w+=", page)
    for path in json.loads(path_of(audience).read_text())["paths"]:
        assert path in page
    served = Client().get(f"/{audience.prefix}openapi.json").json()
    assert served["info"]["title"] == audience.title
