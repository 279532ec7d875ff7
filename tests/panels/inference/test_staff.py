"""What staff sees and changes of what is served for everybody, and where it is told what needs a hand."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.core.permissions import Role
from apps.inference.models import Endpoint, Replica
from tests.factories.billing import make_price
from tests.factories.inference import Stage, make_stage, make_version, replicas, work_off
from tests.factories.users import UserFactory
from tests.panels.inference.test_endpoints import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = make_stage(tmp_path)
    made.version = make_version()
    return made


def staff(role: Role) -> Client:
    client = Client()
    client.force_login(UserFactory(staff=role))
    return client


def test_staff_change_what_everybody_may_call_without_a_gap(stage: Stage) -> None:
    version = stage.version
    stage.version = make_version(stage.team)
    teams, stage.version = stage.ready(), version
    endpoint = stage.ready(public=True, slug="ours")
    admin = staff(Role.OPERATOR)
    page = f"/admin/endpoints/{endpoint.pk}"
    assert "tab=scale" in admin.get(page).content.decode()
    assert "tab=scale" not in admin.get(f"/admin/endpoints/{teams.pk}").content.decode()
    assert "tab=scale" not in staff(Role.AUDITOR).get(page).content.decode()
    form = admin.get(f"{page}?tab=scale").content.decode()
    assert str(stage.version.pk) in form
    assert str(teams.revision.version_id) not in form
    scale = {"least": "1", "most": "3", "metric": "queue", "target": "5", "idle_seconds": "0"}
    assert admin.post(f"{page}/scale", {**scale, "spot_percent": "0"}).status_code == 302
    newer = make_version(model=stage.version.model)
    recipe = {"version": str(newer.pk), "hardware": stage.hardware.slug, "parallel": "2"}
    recipe |= {"context_length": "0"}
    assert admin.post(f"{page}/canary", {**recipe, "weight": "25"}).status_code == 302
    work_off(endpoint, seconds=10)
    assert "Canary, 25 % of requests" in text_of(admin.get(page))
    assert admin.post(f"{page}/canary/share", {"weight": "50"}).status_code == 302
    admin.post(page, {"do": f"promote:{endpoint.pk}", "confirmed": "1"})
    work_off(endpoint, passes=30, seconds=10)
    assert (endpoint.revision.version_id, endpoint.max_replicas) == (newer.pk, 3)
    assert admin.post(f"{page}/deploy", {**recipe, "version": str(stage.version.pk)}).status_code == 302
    assert staff(Role.AUDITOR).post(f"{page}/scale", scale).status_code == 404


def test_a_price_leads_to_where_it_is_changed(stage: Stage) -> None:
    endpoint = stage.ready(public=True, slug="ours")
    page = f"/admin/endpoints/{endpoint.pk}"
    admin, operator = staff(Role.FULL_ADMINISTRATOR), staff(Role.OPERATOR)
    missing = admin.get(page).content.decode()
    assert "nobody can call it" in missing
    assert "/admin/prices/new?product=tokens%3Aours%3Ainput&amp;currency=EUR" in missing
    make_price("tokens:ours:output", "1.5", currency="USD")
    assert (
        "/admin/prices/new?product=tokens%3Aours%3Aoutput&amp;currency=USD"
        in admin.get(page).content.decode()
    )
    shown = operator.get(page).content.decode()
    assert "$1.50" in shown
    assert "/admin/prices/new" not in shown


def test_what_failed_needs_nobody_once_others_serve(stage: Stage) -> None:
    endpoint = stage.ready(public=True, slug="ours")
    (replica,) = replicas(endpoint)
    failed: Any = {"state": "failed", "released_at": replica.created_at, "absence": {}}
    Replica.objects.filter(pk=replica.pk).update(**failed, message="The engine ended.")
    admin = staff(Role.OPERATOR)
    assert "The engine ended." not in text_of(admin.get("/admin/replicas?view=trouble"))
    assert "Endpoints that need attention" not in text_of(admin.get("/admin/overview"))
    Endpoint.objects.filter(pk=endpoint.pk).update(state="degraded", last_error="No room for it.")
    assert "The engine ended." in text_of(admin.get("/admin/replicas?view=trouble"))
    overview = text_of(admin.get("/admin/overview"))
    assert "Endpoints that need attention" in overview
    assert "No room for it." in overview


def test_who_may_not_set_prices_is_told_so(stage: Stage) -> None:
    for page in ("/admin/endpoints/new", "/admin/endpoints/provided"):
        assert "Prices are set by an administrator" in text_of(staff(Role.OPERATOR).get(page))
        assert "Prices are set by an administrator" not in text_of(staff(Role.FULL_ADMINISTRATOR).get(page))
