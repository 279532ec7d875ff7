"""Tokens by model, key, workspace and day, in the page and in the file."""

import csv
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.billing.services import tokens, wallets
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.permissions import Role
from tests.factories.billing import make_price, make_usage
from tests.factories.teams import TeamFactory, admin_of, key_of, member_of, workspace_of
from tests.factories.users import UserFactory

pytestmark = pytest.mark.django_db


def use(team: Any, key: Any, *, slug: str = "llama", count: int = 1) -> None:
    now = db_now()
    prices = tokens.price_table(now).of(str(team.pk), slug)
    assert prices is not None
    counts = (1000, 200, 300, 0)
    at = now - timedelta(seconds=1)
    made = [make_usage(team, counts, slug=slug, at=at, seconds=1, key_id=key.pk) for _each in range(count)]
    assert tokens.settle(made).counted == count


@pytest.fixture
def team() -> Any:
    made = TeamFactory()
    wallets.top_up(actor=SYSTEM, team=made, amount=Decimal(100), reason="test")
    for slug in ("llama", "qwen"):
        for kind, price in (("input", "0.5"), ("cached", "0.05"), ("output", "1.5")):
            make_price(f"tokens:{slug}:{kind}", price)
    return made


def look(client: Client, address: str) -> str:
    with CaptureQueriesContext(connection) as statements:
        answer = client.get(address)
    assert answer.status_code == 200, address
    assert len(statements) <= 15
    return answer.content.decode()


def test_tokens_are_added_up_each_way(team: Any) -> None:
    admin = admin_of(team)
    keys = [key_of(team, "inference:use", name=name).key for name in ("backend", "notebook")]
    use(team, keys[0], count=3)
    use(team, keys[1], slug="qwen")
    client = Client()
    client.force_login(admin)
    base = f"/console/{team.slug}/{workspace_of(team).slug}/usage"
    assert "usage/tokens" in look(client, base)
    page = look(client, f"{base}/tokens")
    for text in ("llama", "qwen", "3,000", "900"):
        assert text in page, text
    assert "backend" in look(client, f"{base}/tokens?by=key&days=7")
    assert workspace_of(team).name in look(client, f"{base}/tokens?by=workspace")
    look(client, f"{base}/tokens?by=day&days=90")
    lines = b"".join(client.get(f"{base}/tokens.csv?days=7")).decode().splitlines()
    rows = list(csv.DictReader(lines))
    shown = [(row["Model"], row["Requests"], row["Out"]) for row in rows]
    assert shown == [("llama", "3", "900"), ("qwen", "1", "300")]
    assert {row["Key"] for row in rows} == {str(key.pk) for key in keys}
    assert rows[0]["Cost"].rstrip("0") == "0.00288"


def test_who_pays_sees_tokens_and_starts_nothing(team: Any) -> None:
    use(team, key_of(team, "inference:use").key, count=3)
    payer = Client()
    payer.force_login(member_of(team, Role.TEAM_BILLING))
    base = f"/console/{team.slug}/{workspace_of(team).slug}"
    assert "3,000" in look(payer, f"{base}/usage/tokens")
    assert "llama" in look(payer, f"{base}/usage/requests")
    page = look(payer, f"{base}/usage?by=product")
    assert ">3,000<" in page, "input"
    assert ">900<" in page, "output"
    look(payer, f"{base}/endpoints")
    for closed in ("endpoints/new", "models/new", "playground", "api-keys"):
        assert payer.get(f"{base}/{closed}").status_code == 404, closed


def test_the_platforms_staff_sees_tokens_by_team_and_product(team: Any) -> None:
    use(team, key_of(team, "inference:use").key, count=3)
    staff = Client()
    staff.force_login(UserFactory(staff=Role.AUDITOR))
    assert ">4,500<" in look(staff, "/admin/usage?by=team"), "input, cached and output"
    assert ">600<" in look(staff, "/admin/usage?by=product"), "cached"
    lines = b"".join(staff.get("/admin/usage.csv?days=7")).decode().splitlines()
    counted = {row["Product"]: row["Quantity"].rstrip("0") for row in csv.DictReader(lines)}
    assert counted["tokens:llama:output"] == "0.0009"


def test_nothing_was_asked_yet_and_others_see_nothing(team: Any) -> None:
    base = f"/console/{team.slug}/{workspace_of(team).slug}/usage/tokens"
    client = Client()
    client.force_login(admin_of(team))
    assert "No model was asked in this time." in look(client, base)
    client.force_login(member_of(team, Role.TEAM_VIEWER))
    assert client.get(base).status_code == 404
    client.force_login(admin_of(TeamFactory()))
    assert client.get(base).status_code == 404
    assert client.get(f"{base}.csv").status_code == 404


def test_requests_are_listed_one_by_one(team: Any) -> None:
    admin = admin_of(team)
    keys = [key_of(team, "inference:use", name=name).key for name in ("backend", "notebook")]
    use(team, keys[0], count=51)
    use(team, keys[1], slug="qwen")
    client = Client()
    client.force_login(admin)
    base = f"/console/{team.slug}/{workspace_of(team).slug}/usage"
    assert f"{base}/requests?days=30&amp;model=llama" in look(client, f"{base}/tokens")
    page = look(client, f"{base}/requests")
    assert page.count("rcp_") >= 50
    older = re.search(r"before=(rcp_\w+)", page)
    assert older is not None
    rest = look(client, f"{base}/requests?before={older[1]}")
    assert set(re.findall(r"rcp_\w+", rest)) - set(re.findall(r"rcp_\w+", page))
    assert "before=" not in rest
    narrowed = look(client, f"{base}/requests?key={keys[1].pk}&outcome=stop")
    assert len(set(re.findall(r"rcp_\w+", narrowed))) == 1
    assert "€0.000960" in narrowed
    assert "No model was asked in this time." in look(client, f"{base}/requests?model=nothing")
    assert client.get(f"{base}/requests?before=nonsense").status_code == 404
    stranger = Client()
    other = TeamFactory()
    stranger.force_login(admin_of(other))
    theirs = f"/console/{other.slug}/{workspace_of(other).slug}/usage/requests"
    assert "rcp_" not in look(stranger, f"{theirs}?before={older[1]}")
    assert stranger.get(f"{base}/requests").status_code == 404
