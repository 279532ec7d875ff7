"""Nobody is told, or changes, what is none of their business: every principal on every route."""

from collections.abc import Iterable
from io import StringIO
from typing import Any
from unittest.mock import patch

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from apps.api.isolation.matrix import Finding, Matrix
from apps.api.isolation.principals import GROUPS, World, principals
from apps.api.isolation.routes import addresses, routes, undeclared
from apps.core.tenancy import TenantQuerySet
from apps.users.models import User
from tests.isolation.world import make_world

ROWS_ONLY = {
    "team_admin",
    "team_admin by browser",
    "region_operator",
    "region_operator by browser",
}


@pytest.fixture
def world(db: None) -> World:
    return make_world()


def told(findings: Iterable[Finding]) -> str:
    found = [str(one) for one in findings]
    return "\n".join([f"{len(found)} holes", *found[:40]]) if found else ""


def guarded_tables() -> frozenset[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")
        return frozenset(row[0] for row in cursor.fetchall())


def test_every_address_declares_who_may_ask() -> None:
    assert not undeclared()


def test_no_route_brings_its_own_way_in() -> None:
    """Who may call, and how they prove it, is decided by the base of the audience alone."""
    for template, view in addresses():
        if hasattr(view, "cls"):
            assert not {"authentication_classes", "permission_classes"} & set(view.initkwargs), template


@pytest.mark.django_db
def test_every_tenants_table_is_guarded_by_the_database() -> None:
    tenants = {
        model._meta.db_table
        for model in apps.get_models()
        if isinstance(model._default_manager.get_queryset(), TenantQuerySet)
        and model._default_manager.get_queryset().team_path
    }
    assert not tenants - guarded_tables()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("group", GROUPS)
def test_the_matrix_holds(world: World, group: str) -> None:
    matrix = Matrix(world)
    holes = told(matrix.run(GROUPS[group](world), routes()))
    assert not holes, holes
    # Hosts are a group of few, and nobody in person: most views are asked for once.
    assert matrix.asked > len(routes()) / (2 if group == "agents" else 1)


@pytest.mark.timeout(900)
def test_row_security_alone_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the application's own filters off, PostgreSQL still shows nothing foreign."""

    def everything(self: Any, *_anything: object, **_more: object) -> Any:
        return self.all()

    known = [one for one in principals(world) if one.name in ROWS_ONLY]
    assert len(known) == len(ROWS_ONLY)
    monkeypatch.setattr(TenantQuerySet, "visible_to", everything)
    holes = told(Matrix(world, guarded=guarded_tables()).run(known, routes()))
    assert not holes, holes


@pytest.mark.timeout(900)
def test_the_command_finds_no_hole_and_leaves_nothing(world: World) -> None:
    before = User.objects.count()
    said = StringIO()
    named = ["--teams", world.ours.slug, world.theirs.slug, "--regions", world.here.slug, world.there.slug]
    with patch("apps.api.management.commands.check_isolation.routes", lambda: routes()[:40]):
        call_command("check_isolation", "--quick", *named, stdout=said)
    assert "nobody saw" in said.getvalue()
    assert User.objects.count() == before
