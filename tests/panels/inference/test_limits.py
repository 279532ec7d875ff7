"""Limits of the gateway as people set them: for a key, a workspace, a team, and on the levels."""

import pytest
from django.test import Client

from apps.core.permissions import Role
from apps.inference.selectors.limits import limits_of
from apps.inference.specs import USUAL_LIMITS, Limits
from apps.inference.states import LimitLevel
from tests.factories.teams import TeamFactory, admin_of, key_of, member_of, workspace_of
from tests.factories.users import UserFactory
from tests.panels.people.test_pages import browser_of

pytestmark = pytest.mark.django_db


def set_and_look(browser: Client, page: str, level: LimitLevel, subject: str = "") -> None:
    """Numbers are set, shown again, and taken away again."""
    assert browser.post(page, {"requests_per_minute": -1}).status_code == 422
    for requests, tokens in (("7", "900"), ("", "")):
        wanted = {"requests_per_minute": requests, "tokens_per_day": tokens}
        assert browser.post(page, wanted).status_code == 302
        own = Limits(int(requests) if requests else None, int(tokens) if tokens else None)
        assert limits_of(level, subject) == own.or_else(USUAL_LIMITS[level])
        shown = browser.get(page).content.decode()
        assert ('value="900"' in shown) == bool(tokens)


def test_a_team_limits_its_keys_and_workspaces() -> None:
    team = TeamFactory()
    where, key = f"/console/{team.slug}/default", key_of(team).key
    browser, viewer = browser_of(admin_of(team)), browser_of(member_of(team, Role.TEAM_VIEWER))
    workspace = workspace_of(team)
    pages = {f"{where}/workspaces/{workspace.pk}/limits": workspace, f"{where}/api-keys/{key.pk}/limits": key}
    for page, subject in pages.items():
        level = LimitLevel.KEY if subject is key else LimitLevel.WORKSPACE
        set_and_look(browser, page, level, str(subject.pk))
        assert viewer.get(page).status_code == 404
    assert f"/workspaces/{workspace.pk}/limits" in browser.get(f"{where}/workspaces").content.decode()
    other = workspace_of(TeamFactory())
    assert browser.get(f"{where}/workspaces/{other.pk}/limits").status_code == 404


def test_staff_limit_teams_and_levels() -> None:
    team = TeamFactory()
    admin = browser_of(UserFactory(staff=Role.FULL_ADMINISTRATOR))
    page = f"/admin/teams/{team.pk}/rate-limits"
    set_and_look(admin, page, LimitLevel.TEAM, team.pk)
    assert page in admin.get(f"/admin/teams/{team.pk}").content.decode()
    assert browser_of(UserFactory(staff=Role.AUDITOR)).get(page).status_code == 404
    fields = {f"{level}_{kind}": "" for level in LimitLevel for kind in ("requests", "tokens")}
    assert admin.post("/admin/gateway/limits", {**fields, "key_requests": "3"}).status_code == 302
    assert limits_of(LimitLevel.KEY).requests_per_minute == 3
