"""The kit: scope by construction, state in the URL, one service per button, refusals where they belong."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.core.actor import SYSTEM
from apps.core.permissions import Permission, Role
from apps.panels.kit import Chart, PanelView, Series
from apps.teams.models import Team
from apps.teams.services import create_workspace
from tests.factories.teams import TeamFactory, admin_of, key_of, member_of, workspace_of
from tests.factories.users import UserFactory
from tests.panels import pages

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.panels.urls")]


@pytest.fixture
def team() -> Team:
    pages.touched.clear()
    pages.saved.clear()
    return TeamFactory()


@pytest.fixture
def browser(team: Team) -> Client:
    client = Client()
    client.force_login(admin_of(team))
    return client


def address(team: Team, rest: str = "test-keys") -> str:
    return f"/console/{team.slug}/default/{rest}"


def make(team: Team, *names: str) -> list[str]:
    return [key_of(team, name=name, workspace=workspace_of(team)).key.pk for name in names]


def names_in(response: Any) -> list[str]:
    return re.findall(r'<td class="main"><a href="[^"]*">([^<]*)</a></td>', response.content.decode())


def test_a_page_without_panel_or_permission_cannot_be_routed() -> None:
    class Nameless(PanelView):
        panel = "console"

    class Homeless(PanelView):
        permission = Permission.TEAM_READ

    for page in (Nameless, Homeless):
        with pytest.raises(TypeError, match="must name"):
            page.as_view()


def test_signed_out_goes_to_sign_in_and_a_stranger_finds_nothing(team: Team) -> None:
    assert Client().get(address(team)).headers["Location"].startswith("/accounts/login/")
    stranger = Client()
    stranger.force_login(UserFactory())
    viewer = Client()
    viewer.force_login(member_of(team, Role.TEAM_VIEWER))
    missing = stranger.get("/console/no-such-team/default/test-keys")
    for client in (stranger, viewer):
        answer = client.get(address(team))
        assert answer.status_code == 404
        assert answer.templates[0].name == missing.templates[0].name
    assert stranger.get("/admin/operations").status_code == 404


def test_a_swap_after_the_session_has_ended_leads_to_sign_in(team: Team) -> None:
    said = {"HX-Request": "true", "HX-Target": "list", "HX-Current-URL": f"http://testserver{address(team)}"}
    answer = Client().get(address(team), headers=said)
    assert answer.status_code == 204
    assert answer.headers["HX-Redirect"] == f"/accounts/login/?next={address(team)}"


def test_a_list_holds_only_rows_of_its_place(team: Team, browser: Client) -> None:
    other = TeamFactory()
    make(team, "ours")
    (foreign,) = make(other, "theirs")
    second = create_workspace(actor=SYSTEM, team=team, name="Second")
    elsewhere = key_of(team, name="elsewhere", workspace=second).key.pk

    page = browser.get(address(team))
    assert names_in(page) == ["ours"]
    assert b"1\xe2\x80\x931 of 1" in page.content
    sheet = b"".join(browser.get(address(team) + "?format=csv")).decode()
    assert "ours" in sheet
    assert "theirs" not in sheet
    assert "elsewhere" not in sheet
    for pk in (foreign, elsewhere):
        assert browser.get(address(team, f"test-keys/{pk}")).status_code == 404
        assert browser.post(address(team), {"do": "touch", "id": [pk]}).status_code == 404
        assert browser.post(address(team), {"do": f"touch:{pk}"}).status_code == 404
    assert pages.touched == []


def test_the_state_of_a_list_is_in_its_url(team: Team, browser: Client) -> None:
    make(team, "abc", "bcd", "long name")
    assert names_in(browser.get(address(team))) == ["abc", "bcd", "long name"]
    assert names_in(browser.get(address(team) + "?sort=-name")) == ["long name", "bcd", "abc"]
    assert names_in(browser.get(address(team) + "?q=BC")) == ["abc", "bcd"]
    assert names_in(browser.get(address(team) + "?view=short&sort=-name")) == ["bcd", "abc"]
    assert names_in(browser.get(address(team) + "?single_use=True")) == []
    assert b"Nothing matches" in browser.get(address(team) + "?q=zebra").content


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=99",
        "page=x",
        "per=7",
        "sort=password",
        "view=none",
        "single_use='",
        "q=%00",
        "q=%F0%28",
        "q=%25",
    ],
)
def test_nonsense_in_the_url_is_answered_calmly(team: Team, browser: Client, query: str) -> None:
    make(team, "abc")
    assert browser.get(f"{address(team)}?{query}").status_code == 200


def test_pages_are_of_25_50_or_100(team: Team, browser: Client) -> None:
    make(team, *[f"key {n:02}" for n in range(30)])
    first = browser.get(address(team))
    assert len(names_in(first)) == 25
    assert b"page=2" in first.content
    assert names_in(browser.get(address(team) + "?page=2"))[0] == "key 25"
    assert len(names_in(browser.get(address(team) + "?per=50"))) == 30


def test_a_list_takes_at_most_15_statements(team: Team, browser: Client) -> None:
    make(team, *[f"key {n:02}" for n in range(30)])
    browser.get(address(team))
    with CaptureQueriesContext(
        connection,
    ) as seen:
        browser.get(address(team))
    assert len(seen) <= 15, "\n".join(query["sql"][:200] for query in seen)


def test_a_swap_gets_only_the_list(team: Team, browser: Client) -> None:
    make(team, "abc")
    part = browser.get(address(team), headers={"HX-Request": "true", "HX-Target": "list"})
    assert part.content.lstrip().startswith(b'<div id="list"')
    assert b"<html" not in part.content


def test_buttons_call_the_service_and_say_what_came_of_it(team: Team, browser: Client) -> None:
    abc, stubborn = make(team, "abc", "stubborn")
    done = browser.post(address(team), {"do": "touch", "id": [abc, stubborn]}, follow=True)
    assert pages.touched == ["abc"]
    assert b"This one will not be touched." in done.content
    assert b"1 done" in done.content
    browser.post(address(team, f"test-keys/{abc}"), {"do": f"touch:{abc}"})
    assert pages.touched == ["abc", "abc"]
    assert browser.post(address(team), {"do": "unknown", "id": [abc]}).status_code == 404


def test_danger_is_confirmed_on_the_server_by_the_name(team: Team, browser: Client) -> None:
    (abc,) = make(team, "abc")
    page = address(team, f"test-keys/{abc}")
    asked = browser.post(page, {"do": f"break:{abc}"})
    assert asked.status_code == 422
    assert b"It is broken for good." in asked.content
    assert browser.post(page, {"do": f"break:{abc}", "confirmed": "1", "typed": "ABC"}).status_code == 422
    assert pages.touched == []
    assert browser.post(page, {"do": "break", "id": abc, "confirmed": "1", "typed": "abc"}).status_code == 302
    assert pages.touched == ["abc"]


def test_a_viewer_without_the_permission_has_no_button(team: Team) -> None:
    (abc,) = make(team, "abc")
    auditor = UserFactory(staff=Role.AUDITOR)
    client = Client()
    client.force_login(auditor)
    assert client.get(address(team)).status_code == 404
    assert client.post(address(team), {"do": f"touch:{abc}"}).status_code == 404
    assert pages.touched == []


def test_form_errors_stand_at_their_field_and_keep_the_input(team: Team, browser: Client) -> None:
    empty = browser.post(address(team, "test-keys/new"), {"name": "", "note": "kept"})
    assert empty.status_code == 422
    assert b'value="kept"' in empty.content
    assert b'href="#id_name"' in empty.content
    refused = browser.post(address(team, "test-keys/new"), {"name": "taken"})
    assert refused.status_code == 422
    assert b'id="id_name_error">This name is taken.' in refused.content
    assert pages.saved == []


def test_a_form_sent_twice_acts_once(team: Team, browser: Client) -> None:
    page = browser.get(address(team, "test-keys/new")).content.decode()
    token = re.search(r'name="form_token" value="([^"]+)"', page)
    assert token
    said = {"name": "new", "form_token": token[1]}
    for _attempt in range(2):
        answer = browser.post(address(team, "test-keys/new"), said)
        assert (answer.status_code, answer.headers["Location"]) == (302, address(team))
    assert len(pages.saved) == 1


def test_get_changes_nothing(team: Team, browser: Client) -> None:
    (abc,) = make(team, "abc")
    browser.get(f"{address(team)}?do=touch:{abc}")
    assert pages.touched == []
    unprotected = Client(enforce_csrf_checks=True)
    unprotected.force_login(admin_of(team))
    assert unprotected.post(address(team), {"do": f"touch:{abc}"}).status_code == 403
    assert pages.touched == []


def test_pages_obey_the_content_policy(team: Team, browser: Client) -> None:
    (abc,) = make(team, "abc")
    for rest in ("test-keys", f"test-keys/{abc}", "test-keys/new", "activity"):
        answer = browser.get(address(team, rest))
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        body = answer.content.decode()
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:", body)
        assert not re.search(r"<script(?![^>]*src=)", body)


def test_the_palette_finds_pages_within_scope(team: Team, browser: Client) -> None:
    found = browser.get(f"/palette?panel=console&team={team.slug}&workspace=default&q=activ")
    assert b"Activity" in found.content
    assert browser.get("/palette?panel=admin").status_code == 404
    assert browser.get("/palette?panel=console&team=other&workspace=default").status_code == 404
    assert Client().get("/palette?panel=admin").status_code == 403


def test_the_live_stream_is_for_those_who_are_there(team: Team, browser: Client) -> None:
    query = f"panel=console&team={team.slug}&workspace=default"
    assert Client().get(f"/events?{query}").status_code == 403
    stranger = Client()
    stranger.force_login(UserFactory())
    assert stranger.get(f"/events?{query}").status_code == 404
    assert browser.get(f"/events?{query}").headers["Content-Type"] == "text/event-stream"


def test_columns_can_be_left_out_and_the_file_follows(browser: Client, team: Team) -> None:
    make(team, "one")
    whole = browser.get(address(team)).content.decode()
    heads = re.findall(r'<th scope="col"[^>]*>(?:<a [^>]*>)?([^<]+)', whole)
    left_out = pages.KeyList.columns[-1]
    page = browser.get(address(team), {"hide": f"{left_out.name},name,no-such"}).content.decode()
    left = re.findall(r'<th scope="col"[^>]*>(?:<a [^>]*>)?([^<]+)', page)
    assert left == [head for head in heads if head != str(left_out.label)]
    file = b"".join(browser.get(address(team), {"hide": left_out.name, "format": "csv"}).streaming_content)
    assert str(left_out.label) not in file.decode().splitlines()[0]


def test_a_view_is_kept_for_one_person_alone(browser: Client, team: Team) -> None:
    kept = address(team, "test-keys?q=one&hide=prefix")
    browser.post(kept, {"do": "keep-view", "name": "My one"})
    page = browser.get(address(team)).content.decode()
    assert re.search(r'<a href="[^"]*q=one&amp;hide=prefix"[^>]*>My one</a>', page)
    shown = browser.get(kept).content.decode()
    assert re.search(r'aria-current="true">My one</a>', shown)
    stranger = Client()
    stranger.force_login(member_of(team, Role.TEAM_ADMIN))
    assert "My one" not in stranger.get(address(team)).content.decode()
    forget = re.search(r'value="(forget-view:[^"]+)"', shown)
    assert forget is not None
    stranger.post(kept, {"do": forget[1]})
    assert "My one" in browser.get(address(team)).content.decode()
    browser.post(kept, {"do": forget[1]})
    assert "My one" not in browser.get(address(team)).content.decode()


def test_a_view_without_a_fit_name_is_refused(browser: Client, team: Team) -> None:
    for name in ("", " ", "x" * 41):
        browser.post(address(team, "test-keys?q=one"), {"do": "keep-view", "name": name})
    assert "q=one" not in browser.get(address(team)).content.decode()


@pytest.mark.parametrize("count", [0, 1, 59, 60, 61, 240])
def test_a_chart_as_a_table_is_short_and_ends_where_the_chart_does(count: int) -> None:
    times = list(range(count))
    chart = Chart("c", "Chart", times, [Series("a", [2 * one for one in times])], "")
    assert len(chart.lines) <= 60
    assert chart.lines[-1:] == [(one, [2 * one]) for one in times[-1:]]
    if count <= 60:
        assert [at for at, _values in chart.lines] == times
    assert len(Chart("c", "Chart", times, [Series("a", times)], "", days=True).lines) == count
