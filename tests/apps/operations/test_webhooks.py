"""Webhooks: who has them, what they get, in which order; that nothing is lost, nothing skipped."""

from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection, transaction
from django.db.models import F

from apps.audit.models import Record
from apps.core.actor import SYSTEM, Actor
from apps.core.errors import Invalid, NotFound, NotPermitted
from apps.core.leases import in_time
from apps.core.permissions import Role
from apps.core.states import IllegalTransition
from apps.operations import reconcilers, selectors, services
from apps.operations.errors import HookPaused, TooManyHooks
from apps.operations.models import Event, Webhook
from apps.operations.reconcilers import deliver
from apps.operations.services.deliveries import GIVE_UP, MOST_TRIES, wait_after
from apps.operations.specs import HookWish
from apps.operations.states import Pause
from apps.teams.services import close_team, suspend_team
from hostedai_sdk import webhooks
from tests.factories.receivers import receiving
from tests.factories.teams import TeamFactory, actor_of, admin_of, member_of, workspace_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def team():
    return TeamFactory()


@pytest.fixture
def receiver():
    with receiving() as made:
        yield made


def make(team, receiver, *types):
    wish = HookWish("Pager", receiver.url, types or ("budget.*",))
    return services.create_webhook(actor=actor_of(team), team=team, wish=wish)


def tell(team, *numbers, type="budget.reached", **more):
    for number in numbers:
        services.emit(type=type, subject="bud_1", team_id=team.pk, data={"number": number}, **more)


def numbers(receiver):
    return [call.event["data"].get("number") for call in receiver.calls]


def make_due(hook):
    """As if the time to wait had passed."""
    Webhook.objects.filter(pk=hook.pk).update(due_at=F("created_at"), lease_until=None)
    hook.refresh_from_db()
    return hook


# ------------------------------------------------------------------ what is sent


def test_events_arrive_in_order_as_the_stream_shows_them_and_signed(team, receiver):
    hook, secret = (issued := make(team, receiver)).webhook, issued.secret
    tell(team, 1, 2, 3)
    assert deliver(webhook_id=hook.pk)
    assert numbers(receiver) == [1, 2, 3]
    told = [webhooks.verify(call.body, call.headers, secret) for call in receiver.calls]
    rows = list(Event.objects.filter(type="budget.reached").order_by("seq"))
    assert [one["id"] for one in told] == [row.id for row in rows] == [call.id for call in receiver.calls]
    assert set(told[0]) == {"id", "type", "subject", "team_id", "region_id", "at", "data"}
    hook.refresh_from_db()
    assert (hook.last_status, hook.attempts, hook.lease_token) == (200, 0, None)
    assert [one["status"] for one in hook.tries] == [200, 200, 200]
    assert selectors.count_waiting(hook) == 0
    assert deliver(webhook_id=hook.pk)
    assert len(receiver.calls) == 3


def test_it_gets_its_teams_events_of_its_kinds_and_nothing_else(team, receiver):
    """Also those of one workspace; never another team's, nor what only staff see."""
    hook = make(team, receiver, "budget.*", "invoice.paid").webhook
    tell(TeamFactory(), "another team's")
    services.emit(type="budget.reached", subject="bud_1", data={"number": "staff's"})
    tell(team, "another kind", type="budgetary.reached")
    tell(team, "another", type="invoice.paid_late")
    tell(team, 1)
    tell(team, 2, workspace_id=workspace_of(team).pk)
    tell(team, 3, type="invoice.paid")
    deliver(webhook_id=hook.pk)
    assert numbers(receiver) == [1, 2, 3]


def test_a_test_goes_to_the_webhook_that_asked_for_it(team, receiver):
    hook = make(team, receiver).webhook
    with receiving() as elsewhere:
        other = make(team, elsewhere, "*").webhook
        services.send_test(actor=actor_of(team), webhook_id=hook.pk)
        deliver(webhook_id=hook.pk)
        deliver(webhook_id=other.pk)
        assert "webhook.test" not in elsewhere.types
    assert receiver.types == ["webhook.test"]
    assert receiver.calls[0].event["subject"] == hook.pk


def test_failures_keep_the_order_and_the_id(team, receiver):
    hook = make(team, receiver).webhook
    tell(team, 1, 2)
    receiver.answers = [500, 503, 302, 200]
    for attempt in (1, 2, 3):
        deliver(webhook_id=make_due(hook).pk)
        hook.refresh_from_db()
        assert hook.attempts == attempt
        assert not deliver(webhook_id=hook.pk), "not before its time"
    deliver(webhook_id=make_due(hook).pk)
    assert numbers(receiver) == [1, 1, 1, 1, 2]
    assert sorted(receiver.repeats.values()) == [1, 4]
    assert len(receiver.seen) == 2
    hook.refresh_from_db()
    assert (hook.attempts, hook.deadline_at) == (0, None)
    assert [one["number"] for one in hook.tries] == [1, 4, 3, 2, 1]


def test_who_does_not_answer_is_said_so_and_left_alone_ever_longer(team, settings):
    with receiving() as gone:
        hook = make(team, gone).webhook
    tell(team, 1)
    deliver(webhook_id=hook.pk)
    hook.refresh_from_db()
    assert hook.tries[0]["problem"] == "The receiver does not answer."
    assert hook.is_slow
    assert [wait_after(n).total_seconds() for n in (1, 2, 6, 50)] == [5, 30, 3600, 3600]
    settings.WEBHOOK_NETWORKS = []
    deliver(webhook_id=make_due(hook).pk)
    hook.refresh_from_db()
    assert hook.tries[0]["problem"] == "The address leads to where we must not go."


def test_only_the_last_attempts_are_kept(team, receiver):
    hook = make(team, receiver).webhook
    tell(team, *range(MOST_TRIES + 3))
    deliver(webhook_id=hook.pk)
    hook.refresh_from_db()
    assert len(hook.tries) == MOST_TRIES
    assert hook.tries[0]["event"] == receiver.calls[-1].id


def test_a_change_while_it_is_served_is_heeded(team, receiver, monkeypatch):
    """Paused after the first event: what is under way is noted, nothing more is sent."""
    hook, send = make(team, receiver).webhook, reconcilers._send
    tell(team, 1, 2)

    def pause(webhook, event):
        attempt = send(webhook, event)
        services.pause_webhook(actor=actor_of(team), webhook_id=hook.pk)
        return attempt

    monkeypatch.setattr(reconcilers, "_send", pause)
    deliver(webhook_id=hook.pk)
    monkeypatch.undo()
    assert numbers(receiver) == [1]
    services.resume_webhook(actor=actor_of(team), webhook_id=hook.pk)
    deliver(webhook_id=hook.pk)
    assert numbers(receiver) == [1, 2]


def test_whoever_has_lost_the_lease_writes_nothing(team, receiver, monkeypatch):
    """A worker that slept too long: another has taken over, and sends the same event under the same id."""
    hook, send = make(team, receiver).webhook, reconcilers._send
    tell(team, 1, 2)

    def sleep(webhook, event):
        attempt = send(webhook, event)
        Webhook.objects.filter(pk=hook.pk).update(lease_token=None, lease_until=None)
        return attempt

    monkeypatch.setattr(reconcilers, "_send", sleep)
    deliver(webhook_id=hook.pk)
    monkeypatch.undo()
    hook.refresh_from_db()
    assert hook.tries == []
    deliver(webhook_id=hook.pk)
    assert numbers(receiver) == [1, 1, 2]
    assert len(receiver.seen) == 2


# ------------------------------------------------------------------ its life


def test_a_new_secret_and_the_one_before_both_prove_for_a_day(team, receiver):
    issued = make(team, receiver)
    hook, old = issued.webhook, issued.secret
    new = services.rotate_webhook(actor=actor_of(team), webhook_id=hook.pk).secret
    tell(team, 1)
    deliver(webhook_id=hook.pk)
    for secret in (old, new):
        webhooks.verify(receiver.calls[0].body, receiver.calls[0].headers, secret)
    Webhook.objects.update(old_until=F("created_at"))
    tell(team, 2)
    deliver(webhook_id=hook.pk)
    webhooks.verify(receiver.calls[1].body, receiver.calls[1].headers, new)
    with pytest.raises(webhooks.BadSignature):
        webhooks.verify(receiver.calls[1].body, receiver.calls[1].headers, old)
    hook.refresh_from_db()
    assert not {old, new} & {hook.secret, hook.old_secret}


def test_a_resumed_one_goes_on_where_it_stopped(team, receiver):
    actor, hook = actor_of(team), make(team, receiver).webhook
    services.pause_webhook(actor=actor, webhook_id=hook.pk)
    tell(team, 1)
    assert not deliver(webhook_id=hook.pk)
    with pytest.raises(HookPaused):
        services.send_test(actor=actor, webhook_id=hook.pk)
    with pytest.raises(IllegalTransition):
        services.pause_webhook(actor=actor, webhook_id=hook.pk)
    services.resume_webhook(actor=actor, webhook_id=hook.pk)
    deliver(webhook_id=hook.pk)
    assert numbers(receiver) == [1]


@pytest.mark.parametrize("why", [Pause.GONE, Pause.FAILING])
def test_one_that_is_given_up_is_paused_and_its_admins_are_mailed_once(team, receiver, why):
    member_of(team)
    hook = make(team, receiver).webhook
    tell(team, 1)
    receiver.answers = [410 if why == Pause.GONE else 500] * 2
    if why == Pause.FAILING:
        deliver(webhook_id=hook.pk)
        hook.refresh_from_db()
        assert hook.state == "active"
        assert hook.deadline_at - hook.created_at <= GIVE_UP + timedelta(minutes=10)
        Webhook.objects.update(deadline_at=F("created_at"))
    deliver(webhook_id=make_due(hook).pk)
    hook.refresh_from_db()
    assert (hook.state, hook.paused_because) == ("paused", why)
    assert Event.objects.get(type="webhook.paused").data["because"] == why
    assert [services.mail_given_up(), services.mail_given_up()] == [1, 0]
    (message,) = mail.outbox
    assert message.to == [admin_of(team).email]
    assert "Pager" in message.subject
    hook = services.resume_webhook(actor=actor_of(team), webhook_id=hook.pk)
    assert (hook.attempts, hook.deadline_at, hook.told_at) == (0, None, None)
    receiver.answers = []
    deliver(webhook_id=hook.pk)
    assert numbers(receiver)[-1] == 1


def test_one_that_is_given_up_again_while_that_is_mailed_is_mailed_again(team, receiver, monkeypatch):
    member_of(team)
    hook = make(team, receiver).webhook
    services.give_up(actor=SYSTEM, webhook_id=hook.pk, why=Pause.FAILING)
    send = mail.EmailMessage.send

    def meanwhile(self):
        services.resume_webhook(actor=actor_of(team), webhook_id=hook.pk)
        services.give_up(actor=SYSTEM, webhook_id=hook.pk, why=Pause.GONE)
        Webhook.objects.update(state_at=in_time(timedelta(hours=1)))
        return send(self)

    monkeypatch.setattr(mail.EmailMessage, "send", meanwhile)
    assert services.mail_given_up() == 1
    monkeypatch.undo()
    assert [services.mail_given_up(), services.mail_given_up()] == [1, 0]
    assert len({one.extra_headers["Message-ID"] for one in mail.outbox}) == 2


def test_what_nobody_was_mailed_for_a_week_is_news_no_more(team, receiver):
    hook = make(team, receiver).webhook
    services.give_up(actor=SYSTEM, webhook_id=hook.pk, why=Pause.GONE)
    Webhook.objects.update(state_at=in_time(-timedelta(days=8)))
    assert services.mail_given_up() == 0


def test_another_address_is_tried_at_once(team, receiver):
    hook = make(team, receiver).webhook
    tell(team, 1)
    receiver.answers = [500]
    deliver(webhook_id=hook.pk)
    with receiving() as mended:
        services.change_webhook(actor=actor_of(team), webhook_id=hook.pk, url=mended.url)
        deliver(webhook_id=hook.pk)
        assert numbers(mended) == [1]
    assert Webhook.objects.get().name == "Pager"


def test_who_may_have_them(team, receiver):
    wish = HookWish("Pager", receiver.url, ("*",))
    for role in (Role.TEAM_MEMBER, Role.TEAM_VIEWER):
        with pytest.raises(NotPermitted):
            services.create_webhook(actor=actor_of(team, member_of(team, role)), team=team, wish=wish)
    payer = actor_of(team, member_of(team, Role.TEAM_BILLING))
    hook = services.create_webhook(actor=payer, team=team, wish=wish).webhook
    for stranger in (actor_of(TeamFactory()), Actor("nobody")):
        with pytest.raises(NotFound):
            services.delete_webhook(actor=stranger, webhook_id=hook.pk)
    assert not Record.objects.filter(data__icontains=receiver.url).exists()
    assert not Event.objects.filter(data__icontains=receiver.url).exists()
    services.delete_webhook(actor=payer, webhook_id=hook.pk)
    noted = Record.objects.filter(action__startswith="webhook.").order_by("pk")
    assert [one.action for one in noted] == ["webhook.created", "webhook.deleted"]


def test_a_team_has_ten_at_most(team, receiver):
    for _each in range(10):
        make(team, receiver)
    with pytest.raises(TooManyHooks):
        make(team, receiver)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("url", one)
            for one in ("http://a.example/", "https://10.0.0.1/", "https://169.254.169.254/", "a")
        ),
        *(("types", one) for one in ([], ["budget"], ["*.x"], ["Budget.*"], ["a.b.c"])),
        *(("name", one) for one in ("", "x" * 81, "a\nb")),
    ],
)
def test_what_cannot_be_sent_to_is_refused(team, settings, field, value):
    settings.WEBHOOK_NETWORKS = []
    wish = {"name": "Pager", "url": "https://hooks.example.com/x", "types": ["*"], field: value}
    with pytest.raises(Invalid) as refused:
        services.create_webhook(actor=actor_of(team), team=team, wish=HookWish(**wish))
    assert refused.value.field == field


def test_a_suspended_team_is_told_and_a_closed_one_has_none(team, receiver):
    hook = make(team, receiver, "team.*").webhook
    suspend_team(actor=SYSTEM, team=team, reason="unpaid")
    deliver(webhook_id=hook.pk)
    assert receiver.types == ["team.suspended"]
    assert receiver.calls[0].event["data"]["reason"] == "unpaid"
    close_team(actor=SYSTEM, team=team)
    assert not Webhook.objects.exists()


def test_the_database_itself_keeps_teams_apart(team, receiver):
    make(team, receiver)
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("SELECT set_config('hostedai.teams', %s, true)", [""])
        cursor.execute("SELECT count(*) FROM operations_webhook")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT set_config('hostedai.teams', '*', true)")
