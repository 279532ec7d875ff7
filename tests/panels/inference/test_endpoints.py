"""Endpoints in the panels: launch with the price first, one page about one endpoint, lists for staff."""

import html
import json
import re
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.billing.models import PriceVersion, TokenRequest
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.permissions import Role
from apps.inference import reconcilers
from apps.inference.models import Endpoint, Replica
from apps.panels import endpoints
from apps.users.services import grant_staff_role
from tests.api.world import team_caller
from tests.factories.billing import make_price
from tests.factories.inference import Stage, make_stage, make_version, replicas, work_off
from tests.factories.teams import admin_of, member_of
from tests.factories.users import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return make_stage(tmp_path)


@pytest.fixture
def browser(stage: Stage) -> Client:
    client = Client()
    client.force_login(admin_of(stage.team))
    return client


def staff(role: Role, stage: Stage) -> Client:
    user = UserFactory()
    region = stage.region if role in (Role.REGION_OPERATOR, Role.REGION_VIEWER) else None
    slug = region.slug if region else ""
    grant_staff_role(
        actor=SYSTEM, user=user, role=role, region_id=region.pk if region else None, region_slug=slug
    )
    client = Client()
    client.force_login(user)
    return client


def at(stage: Stage, rest: str) -> str:
    return f"/console/{stage.team.slug}/{stage.workspace.slug}/{rest}"


def text_of(response: Any) -> str:
    assert response.status_code == 200, response.status_code
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def fields(stage: Stage, **changes: str) -> dict[str, str]:
    usual = {"version": str(stage.version.pk), "region": stage.region.slug, "hardware": stage.hardware.slug}
    usual |= {"slug": "my-chat", "least": "1", "most": "2", "parallel": "4", "idle_minutes": "0"}
    usual |= {"context_length": "0"}
    return {**usual, **changes}


def test_without_anything_the_list_leads_to_a_launch(stage: Stage, browser: Client) -> None:
    assert "No model is served yet" in text_of(browser.get(at(stage, "endpoints")))


def test_the_price_stands_there_before_the_launch(stage: Stage, browser: Client) -> None:
    page = text_of(browser.get(at(stage, "endpoints/new")))
    assert str(stage.version.model.name) in page
    assert "€0.60 per hour" in page
    three = text_of(browser.get(at(stage, "endpoints/new?least=3")))
    assert "€1.80 per hour" in three
    assert "/api/user/v1/endpoints" in three


def test_the_code_beside_the_form_asks_for_the_same(stage: Stage, browser: Client) -> None:
    asked = "slug=same&least=1&most=3&parallel=8&idle_minutes=5&context_length=1024"
    page = text_of(browser.get(at(stage, f"endpoints/new?{asked}")))
    assert "Up to €1.80 per hour with the most replicas" in page
    body = re.search(r"-d '(\{.*?\})'", html.unescape(page))
    assert body
    caller = team_caller(stage.team)
    assert caller.post("/api/user/v1/endpoints", json.loads(body[1])).status_code == 202
    made = Endpoint.objects.get()
    assert (made.slug, made.min_replicas, made.max_replicas, made.idle_seconds) == ("same", 1, 3, 300)
    assert made.revision is not None
    assert (made.revision.parallel, made.revision.context_length) == (8, 1024)
    odd = text_of(browser.get(at(stage, "endpoints/new?slug=$(reboot)")))
    assert "Idempotency-Key: -reboot--1" in odd


def test_a_launch_leads_to_its_page_and_a_second_click_to_the_same(stage: Stage, browser: Client) -> None:
    page = browser.get(at(stage, "endpoints/new")).content.decode()
    token = re.search(r'name="form_token" value="([^"]+)"', page)
    assert token
    said = fields(stage, form_token=token[1])
    answers = [browser.post(at(stage, "endpoints/new"), said) for _twice in range(2)]
    endpoint = Endpoint.objects.get()
    for answer in answers:
        assert answer.headers["Location"] == at(stage, f"endpoints/{endpoint.pk}")
    shown = text_of(browser.get(at(stage, f"endpoints/{endpoint.pk}")))
    assert "Not charged before it answers" in shown
    assert "Load the model" in shown


def test_a_name_that_cannot_be_is_refused_at_its_field(stage: Stage, browser: Client) -> None:
    answer = browser.post(at(stage, "endpoints/new"), fields(stage, slug="Not Good"))
    assert answer.status_code == 422
    assert b"lower-case letters" in answer.content
    bounds = browser.post(at(stage, "endpoints/new"), fields(stage, least="3", most="2"))
    assert bounds.status_code == 422
    assert not Endpoint.objects.exists()


def test_every_tab_of_an_endpoint_shows_its_own(stage: Stage, browser: Client) -> None:
    endpoint = stage.ready(slug="my-chat")
    now = db_now()
    for outcome in ("completed", "refused", "client_gone"):
        TokenRequest.objects.create(
            request_id=uuid.uuid4(), team_id=stage.team.pk, workspace_id=stage.workspace.pk,
            endpoint_id=endpoint.pk, slug="my-chat", outcome=outcome, stream=True, input=11, cached=0,
            output=7, embedding=0, input_amount=0, cached_amount=0, output_amount=0, embedding_amount=0,
            currency="EUR", version_ids=[None] * 4, transaction_id=f"ltx_{str(endpoint.pk)[4:]}",
            started_at=now - timedelta(seconds=0 if outcome == "refused" else 2), finished_at=now,
        )  # fmt: skip
    page = at(stage, f"endpoints/{endpoint.pk}")
    overview = text_of(browser.get(page))
    assert "base_url=&quot;http://testserver/v1&quot;" in overview
    assert "1 of 1" in overview
    assert "Requests, last hour" in overview
    assert "1 refused, 1 broken off" in overview
    traffic = browser.get(f"{page}?tab=traffic").content.decode()
    assert "3 requests came in this time" in traffic
    assert "Half of the whole answers came within 2.00 s" in traffic
    (replica,) = replicas(endpoint)
    assert replica.pk[-8:] in text_of(browser.get(f"{page}?tab=replicas"))
    assert "Try a canary" in text_of(browser.get(f"{page}?tab=scale"))
    assert "Replica ready" in text_of(browser.get(f"{page}?tab=events"))


def test_no_more_are_ready_than_are_told_of() -> None:
    """A canary's replica is beside the one that is wanted."""
    one = Endpoint(wanted=1)
    assert str(endpoints.count_of(one)) == "0 of 1"
    one.ready_count = 2
    assert str(endpoints.count_of(one)) == "2 of 2"


def test_logs_are_shown_followed_and_downloaded(stage: Stage, browser: Client) -> None:
    endpoint, other = stage.ready(slug="my-chat"), stage.ready()
    (replica,), (foreign,) = replicas(endpoint), replicas(other)
    page = at(stage, f"endpoints/{endpoint.pk}")
    first = browser.get(f"{page}?tab=logs").content.decode()
    assert "Nothing yet" in first
    assert reconcilers.read_asked() == 1
    shown = browser.get(f"{page}?tab=logs&replica={replica.pk}").content.decode()
    assert f'src="{page}/log?replica={replica.pk}"' in shown
    listed = browser.get(f"{page}?tab=replicas").content.decode()
    assert f'href="{page}?tab=logs&amp;replica={replica.pk}"' in listed
    text = browser.get(f"{page}/log?replica={replica.pk}")
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "INFO serving" in text.content.decode()
    assert browser.get(f"{page}/log").content == text.content
    assert "INFO serving" in shown
    for not_of_it in (str(foreign.pk), "rep_x", ""):
        assert browser.get(f"{page}/log?replica={not_of_it}").status_code == 404
    viewer = Client()
    viewer.force_login(member_of(stage.team, Role.TEAM_VIEWER))
    assert "Logs" not in text_of(viewer.get(page))
    assert "tab=logs" not in viewer.get(f"{page}?tab=replicas").content.decode()
    assert viewer.get(f"{page}/log?replica={replica.pk}").status_code == 404


def test_an_endpoint_without_an_engine_has_no_logs(stage: Stage, browser: Client) -> None:
    endpoint = stage.launch(scale={"least": 0, "idle_seconds": 60})
    Replica.objects.filter(endpoint=endpoint).update(state="failed", released_at=db_now(), absence={})
    gone = text_of(browser.get(at(stage, f"endpoints/{endpoint.pk}?tab=logs")))
    assert "It ended" in gone
    Replica.objects.filter(endpoint=endpoint).delete()
    assert "No engine now" in text_of(browser.get(at(stage, f"endpoints/{endpoint.pk}?tab=logs")))


def test_the_forms_of_an_endpoint_do_what_they_say(stage: Stage, browser: Client) -> None:
    endpoint = stage.ready(recipe=stage.recipe(context_length=1024), scale={"has_fallback": False})
    page = at(stage, f"endpoints/{endpoint.pk}")
    shown = browser.get(f"{page}?tab=scale").content.decode()
    assert re.search(r'name="context_length" value="1024"', shown)
    assert re.search(r'name="has_fallback"(?![^>]*checked)', shown)
    scale = {"least": "0", "most": "3", "metric": "queue", "target": "5", "idle_seconds": "60"}
    assert browser.post(f"{page}/scale", {**scale, "spot_percent": "0"}).status_code == 302
    endpoint.refresh_from_db()
    assert (endpoint.max_replicas, endpoint.scale_metric, endpoint.idle_seconds) == (3, "queue", 60)
    assert not endpoint.has_fallback, "nobody has asked for it"
    newer = make_version(stage.team, model=stage.version.model)
    recipe = {"version": str(newer.pk), "hardware": stage.hardware.slug, "parallel": "2"}
    recipe |= {"context_length": "1024"}
    assert browser.post(f"{page}/canary", {**recipe, "weight": "25"}).status_code == 302
    work_off(endpoint, seconds=10)
    assert "Canary, 25 % of requests" in text_of(browser.get(page))
    assert browser.post(f"{page}/canary/share", {"weight": "50"}).status_code == 302
    browser.post(page, {"do": f"promote:{endpoint.pk}", "confirmed": "1"})
    work_off(endpoint, passes=30, seconds=10)
    assert (endpoint.revision.version_id, endpoint.revision.context_length) == (newer.pk, 1024)
    happened = text_of(browser.get(f"{page}?tab=events"))
    for word in ("Canary begun", "Canary has another share", "Canary takes over"):
        assert word in happened
    too_long = browser.post(f"{page}/deploy", {**recipe, "context_length": "4096"})
    assert "contexts of up to 2048 tokens" in too_long.content.decode()
    assert browser.post(f"{page}/deploy", {**recipe, "version": str(stage.version.pk)}).status_code == 302
    browser.post(page, {"do": f"delete:{endpoint.pk}", "confirmed": "1"})
    endpoint.refresh_from_db()
    assert endpoint.desired == "gone"


def test_lists_stay_within_their_budget(stage: Stage, browser: Client) -> None:
    for _each in range(3):
        stage.ready()
    for client, address in (
        (browser, at(stage, "endpoints")),
        (staff(Role.OPERATOR, stage), "/admin/endpoints"),
        (staff(Role.OPERATOR, stage), "/admin/replicas"),
        (staff(Role.OPERATOR, stage), f"/admin/clusters/{stage.cluster.pk}"),
        (staff(Role.REGION_OPERATOR, stage), f"/cluster/{stage.region.slug}/replicas"),
    ):
        client.get(address)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            page = client.get(address)
        assert page.status_code == 200
        assert len(queries) <= 15, [one["sql"][:120] for one in queries]


def test_staff_see_the_fleet_and_replace_a_replica(stage: Stage) -> None:
    endpoint = stage.ready(slug="customers-chat")
    (replica,) = replicas(endpoint)
    admin = staff(Role.OPERATOR, stage)
    fleet = admin.get("/admin/replicas")
    assert "customers-chat" in text_of(fleet)
    assert f'href="/admin/endpoints/{endpoint.pk}"' in fleet.content.decode()
    shown = text_of(admin.get(f"/admin/endpoints/{endpoint.pk}"))
    assert stage.team.name in shown
    operator = staff(Role.REGION_OPERATOR, stage)
    home = f"/cluster/{stage.region.slug}"
    assert "customers-chat" in text_of(operator.get(f"{home}/clusters/{stage.cluster.pk}"))
    address = f"{home}/replicas"
    assert "customers-chat" in text_of(operator.get(address))
    operator.post(address, {"do": f"replace:{replica.pk}", "confirmed": "1"})
    replica.refresh_from_db()
    assert replica.desired == "gone"


def test_what_failed_is_shown_for_a_week(stage: Stage) -> None:
    (replica,) = replicas(stage.ready())
    failed = Replica.objects.filter(pk=replica.pk)
    failed.update(state="failed", released_at=db_now(), absence={}, message="The engine ended.")
    admin = staff(Role.OPERATOR, stage)
    assert "The engine ended." in text_of(admin.get("/admin/replicas"))
    failed.update(state_at=db_now() - timedelta(days=8))
    assert replica.pk[-8:] not in text_of(admin.get("/admin/replicas"))


def test_staff_add_a_provider_to_an_endpoint_of_the_platform(stage: Stage) -> None:
    stage.version = make_version()
    endpoint = stage.ready(public=True, slug="ours")
    admin = staff(Role.OPERATOR, stage)
    page = f"/admin/endpoints/{endpoint.pk}"
    assert f"{page}/provider" in admin.get(page).content.decode()
    said = {
        "url": "http://api.example.com/v1",
        "model": "theirs",
        "api_key": "sk-secret",
        "is_fallback": "on",
    }
    refused = admin.post(f"{page}/provider", {**said, "url": "https://10.0.0.1/v1"})
    assert refused.status_code == 422
    assert b"sk-secret" not in refused.content
    added = admin.post(f"{page}/provider", {**said, "url": "https://api.example.com/v1"})
    assert added.headers["Location"] == page
    (provider,) = replicas(endpoint, "pending")
    shown = admin.get(page).content.decode()
    assert "api.example.com" in shown
    assert "sk-secret" not in shown + admin.get("/admin/replicas?kind=external").content.decode()
    assert "theirs" in text_of(admin.get("/admin/replicas?kind=external"))
    assert f"/replicas/{provider.pk}" not in shown
    edit = f"/admin/providers/{provider.pk}"
    assert edit in shown
    change = {"api_key": "sk-the-next", "rate_currency": "USD", "rate_input": "0.1", "rate_output": ""}
    assert admin.post(edit, change).status_code == 422
    assert admin.post(edit, {**change, "rate_output": "0.4"}).headers["Location"] == page
    told = admin.get(edit).content.decode()
    assert 'value="0.4"' in told
    assert "sk-the-next" not in told
    provider.refresh_from_db()
    assert (provider.next_secret, provider.is_fallback) == ("sk-the-next", False)
    admin.post(page, {"do": f"remove:{provider.pk}", "confirmed": "1"})
    provider.refresh_from_db()
    assert provider.desired == "gone"
    operator = staff(Role.REGION_OPERATOR, stage)
    assert "theirs" in text_of(operator.get(f"/cluster/{stage.region.slug}/replicas"))
    auditor = staff(Role.AUDITOR, stage)
    assert f"{page}/provider" not in auditor.get(page).content.decode()
    assert auditor.get(f"{page}/provider").status_code == 404


def test_a_teams_endpoint_offers_no_provider(stage: Stage) -> None:
    endpoint = stage.ready()
    admin = staff(Role.OPERATOR, stage)
    assert "/provider" not in admin.get(f"/admin/endpoints/{endpoint.pk}").content.decode()
    said = {"url": "https://api.example.com/v1", "model": "theirs", "api_key": ""}
    assert admin.post(f"/admin/endpoints/{endpoint.pk}/provider", said).status_code == 422
    assert len(replicas(endpoint)) == 1


def test_a_viewer_may_look_and_not_touch(stage: Stage) -> None:
    endpoint = stage.ready()
    client = Client()
    client.force_login(member_of(stage.team, Role.TEAM_VIEWER))
    page = at(stage, f"endpoints/{endpoint.pk}")
    assert "Delete" not in text_of(client.get(page))
    assert client.get(at(stage, "endpoints/new")).status_code == 404
    assert client.post(f"{page}/scale", {}).status_code == 404


def test_staff_serve_a_model_from_a_provider_alone(stage: Stage) -> None:
    admin = staff(Role.FULL_ADMINISTRATOR, stage)
    new = "/admin/endpoints/provided"
    assert new in admin.get("/admin/endpoints").content.decode()
    assert "price_input" in admin.get(new).content.decode()
    said = {
        "slug": "big", "region": stage.region.slug, "modality": "chat", "context_length": "131072",
        "url": "https://api.example.com/v1", "model": "theirs", "api_key": "sk-secret",
        "price_currency": "EUR", "price_input": "1", "price_output": "3",
        "rate_currency": "USD", "rate_input": "0.5", "rate_output": "2",
    }  # fmt: skip
    assert admin.post(new, {**said, "url": "https://10.0.0.1/v1"}).status_code == 422
    made = admin.post(new, said)
    page = made.headers["Location"]
    shown = text_of(admin.get(page))
    assert "0 providers" in shown
    assert "sk-secret" not in shown
    assert "Logs" not in shown
    assert "big" in text_of(admin.get("/admin/endpoints"))
    operator = staff(Role.OPERATOR, stage)
    assert operator.get(new).status_code == 200
    priced = operator.post(new, {**said, "slug": "other"})
    assert priced.status_code == 302
    assert PriceVersion.objects.filter(product__startswith="tokens:").count() == 2


def test_staff_who_may_read_what_engines_write(stage: Stage) -> None:
    stage.version = make_version()
    endpoint = stage.ready(public=True, slug="ours")
    page = f"/admin/endpoints/{endpoint.pk}"
    admin = staff(Role.FULL_ADMINISTRATOR, stage)
    assert f'src="{page}/log?' in admin.get(f"{page}?tab=logs").content.decode()
    assert admin.get(f"{page}/log").status_code == 200
    operator = staff(Role.OPERATOR, stage)
    assert "tab=logs" not in operator.get(page).content.decode()
    assert operator.get(f"{page}/log").status_code == 404


def test_what_everybody_may_call_is_listed_with_what_it_costs(stage: Stage, browser: Client) -> None:
    stage.version = make_version()
    stage.ready(public=True, slug="ours")
    stage.ready(public=True, slug="unpriced")
    make_price("tokens:ours:input", "1.25")
    make_price("tokens:ours:output", "4.5")
    page = at(stage, "endpoints/shared")
    assert page in browser.get(at(stage, "endpoints")).content.decode()
    with CaptureQueriesContext(connection) as asked:
        shown = text_of(browser.get(page))
    assert len(asked) <= 15
    assert "Shared by teams" in shown
    assert "€1.25" in shown
    assert "€4.50" in shown
    assert "playground?model=ours" in browser.get(page).content.decode()
    told = b"".join(browser.get(f"{page}?format=csv").streaming_content).decode()
    assert "ours" in told
    assert "4.5" in told
    assert "unpriced" not in text_of(browser.get(f"{page}?q=ours"))


def test_staff_launch_a_model_for_everybody(stage: Stage) -> None:
    teams, stage.version = make_version(stage.team), make_version()
    admin = staff(Role.FULL_ADMINISTRATOR, stage)
    new = "/admin/endpoints/new"
    shown = admin.get(f"{new}?version={stage.version.pk}").content.decode()
    assert f'value="{stage.version.pk}" selected' in shown
    assert teams.pk not in shown
    said = {
        "version": stage.version.pk, "slug": "ours", "region": stage.region.slug,
        "hardware": stage.hardware.slug, "least": "1", "most": "2", "idle_minutes": "0",
        "price_currency": "EUR", "price_input": "0.5", "price_output": "1.5",
    }  # fmt: skip
    assert admin.post(new, {**said, "most": "0"}).status_code == 422
    assert admin.post(new, {**said, "least": "3"}).status_code == 422
    assert admin.post(new, {**said, "version": teams.pk}).status_code == 422
    page = admin.post(new, said).headers["Location"]
    told = text_of(admin.get(page))
    assert "Start the engine" in told
    assert "€1.50" in told
    assert work_off(Endpoint.objects.get(slug="ours")).state == "ready"
    assert admin.post(new, said).status_code == 422
