"""Before the door and where nothing is: the landing page, the status page, pages for what came to nothing."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.core.actor import SYSTEM
from apps.core.permissions import Role
from apps.nodes.models import Node
from apps.nodes.states import Health
from apps.panels import errors
from apps.teams.models import Team
from apps.users.services import grant_staff_role
from tests.factories.billing import make_price
from tests.factories.supply import make_supply
from tests.factories.teams import TeamFactory, admin_of
from tests.factories.users import UserFactory, region_staff

pytestmark = pytest.mark.django_db


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_a_visitor_sees_the_landing_page_and_a_person_goes_to_the_panel() -> None:
    team: Team = TeamFactory()
    landing = Client().get("/")
    assert landing.status_code == 200
    assert b"/accounts/signup/" in landing.content
    assert signed_in(admin_of(team)).get("/").headers["Location"] == f"/console/{team.slug}/default/"


@pytest.mark.parametrize("panel", ["console", "cluster"])
def test_the_bare_address_of_a_panel_leads_to_where_one_was_last(panel: str) -> None:
    assert Client().get(f"/{panel}/").headers["Location"] == f"/accounts/login/?next=/{panel}/"
    person, first, last = person_of_two(panel)
    client = signed_in(person)
    assert client.get(f"/{panel}", follow=True).redirect_chain[-2][0] == first
    assert client.get(last, follow=True).status_code == 200
    assert client.get(f"/{panel}/").headers["Location"] == last
    client.cookies[f"last_{panel}"] = "no-longer/mine"
    assert client.get(f"/{panel}/").headers["Location"] == first
    assert signed_in(UserFactory()).get(f"/{panel}/").headers["Location"] == "/"


def person_of_two(panel: str) -> tuple[Any, str, str]:
    """Somebody with two teams or two regions, and the addresses of both."""
    if panel == "console":
        person = UserFactory()
        first, last = (TeamFactory(name=name, owner=person) for name in ("Aalto", "Zuse"))
        return person, f"/console/{first.slug}/default/", f"/console/{last.slug}/default/"
    first, last = sorted((make_supply().region for _ in range(2)), key=lambda one: one.slug)
    person = region_staff(Role.REGION_OPERATOR, first)
    grant_staff_role(
        actor=SYSTEM, user=person, role=Role.REGION_OPERATOR, region_id=last.pk, region_slug=last.slug
    )
    return person, f"/cluster/{first.slug}/", f"/cluster/{last.slug}/"


def test_the_landing_page_shows_what_a_gpu_costs_and_whether_one_is_free() -> None:
    supply = make_supply(nodes=1, gpus=2)
    make_price(supply.gpu_type.product, "2.5")
    page = Client().get("/").content.decode()
    assert supply.model.name in page
    assert "€2.50" in page
    assert "Few free" in page


def test_the_status_page_says_what_does_not_answer() -> None:
    supply = make_supply(nodes=2)
    with CaptureQueriesContext(connection) as asked:
        page = Client().get("/status").content.decode()
    assert supply.region.name in page
    assert "Everything works." in page
    assert supply.nodes[0].name not in page
    assert len(asked) <= 2
    Node.objects.filter(pk=supply.nodes[0].pk).update(health=Health.UNREACHABLE)
    assert "Some hosts do not answer" in Client().get("/status").content.decode()
    Node.objects.update(health=Health.UNREACHABLE)
    assert "No host answers" in Client().get("/status").content.decode()


@pytest.mark.parametrize(
    "path", ["/no-such-page", "/console/no-such-team/default/instances", "/admin/overview"]
)
def test_what_is_missing_is_said_inside_the_shell_to_who_is_signed_in(path: str) -> None:
    team: Team = TeamFactory()
    answer = signed_in(admin_of(team)).get(path)
    assert answer.status_code == 404
    page = answer.content.decode()
    assert "There is no such page" in page
    assert f"/console/{team.slug}/default/instances" in page  # the way on, in the navigation
    assert "no-such-team" not in page


def test_what_is_missing_is_said_at_the_door_to_others() -> None:
    teamless = signed_in(UserFactory())
    for client in (Client(), teamless):
        answer = client.get("/no-such-page")
        assert answer.status_code == 404
        assert "There is no such page" in answer.content.decode()


def test_a_mistake_of_ours_has_a_page_even_when_its_frame_breaks(rf: Any, monkeypatch: Any) -> None:
    request = rf.get("/")
    monkeypatch.setattr(errors, "_inside", lambda *_: 1 / 0)
    answer = errors.broken(request)
    assert answer.status_code == 500
    assert "Something broke" in answer.content.decode()


def test_what_a_person_has_seen_stays_in_no_cache() -> None:
    """Not for the back button after signing out, and not for a proxy; what everybody sees may."""
    team: Team = TeamFactory()
    page = signed_in(admin_of(team)).get(f"/console/{team.slug}/default/overview")
    assert page.headers["Cache-Control"] == "private, no-store"
    assert "Cache-Control" not in Client().get("/").headers
    assert "camera=()" in page.headers["Permissions-Policy"]
