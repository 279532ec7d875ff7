"""Webhooks in the Console and in the User API: the secret is shown once, and what can be done is done."""

import json
import re

import pytest
from django.test import Client

from apps.core.permissions import Role
from apps.operations import services
from apps.operations.models import Event, IdempotencyKey, Webhook
from apps.operations.reconcilers import deliver
from apps.teams.models import Team
from hostedai_sdk import webhooks
from tests.api.test_people import USER, refused
from tests.api.world import Caller
from tests.factories.receivers import receiving
from tests.factories.teams import TeamFactory, admin_of, key_of, member_of
from tests.panels.people.test_pages import at, browser_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return TeamFactory()


@pytest.fixture
def browser(team: Team) -> Client:
    return browser_of(admin_of(team))


def make(team: Team, browser: Client, url: str) -> tuple[Webhook, str]:
    """A webhook by the form, and the secret that its answer shows."""
    wish = {"name": "Pager", "url": url, "kinds": ["budget.*"], "more": "invoice.paid"}
    answer = browser.post(at(team, "webhooks/new"), wish)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    found = re.search(r"whsec_[A-Za-z0-9+/=]{44}", answer.content.decode())
    assert found
    return Webhook.objects.get(), found[0]


def test_one_is_made_tested_looked_at_and_deleted(team: Team, browser: Client) -> None:
    with receiving(answers=[500]) as receiver:
        hook, secret = make(team, browser, receiver.url)
        page = at(team, f"webhooks/{hook.pk}")
        assert "Nothing sent yet" in browser.get(page).content.decode()
        assert browser.post(page, {"do": f"test:{hook.pk}"}).status_code == 302
        deliver(webhook_id=hook.pk)
        shown = browser.get(page).content.decode()
        assert "500 Internal Server Error" in shown
        assert "has not accepted an event" in shown
        assert secret not in shown
        browser.post(page, {"do": f"test:{hook.pk}"})
        deliver(webhook_id=hook.pk)
        assert (
            webhooks.verify(receiver.calls[-1].body, receiver.calls[-1].headers, secret)["subject"] == hook.pk
        )
    assert "200 OK" in browser.get(page).content.decode()
    assert Event.objects.filter(type="webhook.tested", subject=hook.pk).count() == 2
    listed = browser.get(at(team, "webhooks")).content.decode()
    assert "invoice.paid" in listed
    assert "?from=test" not in listed
    for do, state in (("pause", "paused"), ("resume", "active"), ("pause", "paused")):
        browser.post(page, {"do": f"{do}:{hook.pk}"})
        hook.refresh_from_db()
        assert hook.state == state
    assert "Somebody paused it" in browser.get(page).content.decode()
    browser.post(page, {"do": f"skip:{hook.pk}", "confirmed": "1"})
    answer = browser.post(page, {"do": f"delete:{hook.pk}", "confirmed": "1"})
    assert answer["Location"] == at(team, "webhooks")
    assert not Webhook.objects.exists()


def test_it_is_changed_and_given_a_new_secret(team: Team, browser: Client) -> None:
    with receiving() as receiver:
        hook, secret = make(team, browser, receiver.url)
    edit = at(team, f"webhooks/{hook.pk}/edit")
    assert "invoice.paid" in browser.get(edit).content.decode()
    wish = {"name": "Chat", "url": hook.url, "kinds": [], "more": ""}
    assert "Choose what it gets" in browser.post(edit, wish).content.decode()
    assert browser.post(edit, {**wish, "kinds": ["*"]}).status_code == 302
    assert "no address" in browser.post(edit, {**wish, "kinds": ["*"], "url": "nowhere"}).content.decode()
    answer = browser.post(at(team, f"webhooks/{hook.pk}/secret"))
    shown = answer.content.decode()
    assert "whsec_" in shown
    assert secret not in shown
    hook.refresh_from_db()
    assert (hook.name, hook.types, bool(hook.old_secret)) == ("Chat", ["*"], True)
    other = TeamFactory()
    stranger = browser_of(admin_of(other))
    for page in ("", "/edit", "/secret"):
        assert stranger.get(at(other, f"webhooks/{hook.pk}{page}")).status_code == 404


def test_who_does_not_prove_who_they_are_sees_no_secret(team: Team) -> None:
    stale = browser_of(admin_of(team), recent=False)
    assert "reauthenticate" in stale.get(at(team, "webhooks/new"))["Location"]
    payer = browser_of(member_of(team, Role.TEAM_BILLING))
    assert payer.get(at(team, "webhooks/new")).status_code == 200
    assert b"Alerts by webhook" in payer.get(at(team, "budgets")).content
    assert b"Alerts by webhook" not in browser_of(admin_of(TeamFactory())).get(at(team, "budgets")).content


def test_the_api_tells_the_secret_once_and_keeps_no_answer_with_it(team: Team) -> None:
    call = Caller(key_of(team, "webhook:manage", "webhook:read").secret)
    with receiving() as receiver:
        wish = {"name": "Pager", "url": receiver.url, "types": ["budget.*"]}
        made = call.post(f"{USER}/webhooks", wish, Idempotency_Key="k")
        assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
        secret, hook = made.json()["secret"], made.json()["webhook"]["id"]
        assert not IdempotencyKey.objects.exists()
        services.emit(type="budget.reached", subject="bud_1", team_id=team.pk, data={"spent": "1.50"})
        assert call.post(f"{USER}/webhooks/{hook}/test").status_code == 202
        deliver(webhook_id=hook)
        first, second = receiver.calls
        assert webhooks.verify(first.body, first.headers, secret)["data"] == {"spent": "1.50"}
        assert second.event["type"] == "webhook.test"
    shown = call.get(f"{USER}/webhooks/{hook}").json()
    assert [one["status"] for one in shown["attempts"]] == [200, 200]
    assert shown["next_attempt_at"] is None
    assert "secret" not in json.dumps(shown)
    assert call.get(f"{USER}/webhooks").json()["items"] == [shown]
    changed = call.patch(f"{USER}/webhooks/{hook}", {"types": ["*"]}).json()
    assert (changed["types"], changed["name"]) == (["*"], "Pager")
    assert call.post(f"{USER}/webhooks/{hook}/rotate").json()["secret"] != secret
    assert call.post(f"{USER}/webhooks/{hook}/pause").json()["paused_because"] == "by_hand"
    refused(call.post(f"{USER}/webhooks/{hook}/test"), 409, "webhook_paused")
    assert call.post(f"{USER}/webhooks/{hook}/resume", {"is_from_now": True}).json()["state"] == "active"
    refused(call.post(f"{USER}/webhooks", {**wish, "url": "http://10.0.0.1/"}), 422, "webhook_invalid")
    assert call.delete(f"{USER}/webhooks/{hook}").status_code == 204
    refused(call.get(f"{USER}/webhooks/{hook}"), 404, "not_found")


def test_a_key_of_a_workspace_has_nothing_to_do_with_them(team: Team) -> None:
    key = key_of(team, workspace=team.workspaces.get())
    refused(Caller(key.secret).get(f"{USER}/webhooks"), 403, "not_permitted")
