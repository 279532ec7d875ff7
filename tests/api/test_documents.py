"""The committed OpenAPI documents, and the pages that show them."""

import json
import re
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client

from apps.api.audiences import AUDIENCES, Audience
from apps.api.docs import path_of
from apps.api.isolation.routes import routes


def test_the_committed_documents_are_up_to_date() -> None:
    call_command("openapi", "--check", stdout=StringIO())


@pytest.mark.parametrize("audience", AUDIENCES, ids=lambda one: one.name)
def test_every_route_is_described(audience: Audience) -> None:
    paths = json.loads(path_of(audience).read_text())["paths"]
    described = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    served = [one for one in routes() if one.face == "api" and one.audience == audience.name]
    own = [one for one in served if one.template.startswith(f"/{audience.prefix}")]
    assert described == {str(one) for one in own}
    # What older clients call is the same call at another address.
    assert {(one.view, one.action) for one in served} == {(one.view, one.action) for one in own}
    assert all("summary" in call for item in paths.values() for call in item.values())


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
