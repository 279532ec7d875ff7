"""Webhooks in the Console: where the team's events are sent, what came of it, and a test."""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, ClassVar

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.operations import selectors, services
from apps.operations.models import Webhook
from apps.operations.specs import HookWish
from apps.operations.states import HookState
from apps.panels.kit import (
    Action,
    Code,
    Column,
    Copies,
    Detail,
    Empty,
    Facts,
    Filter,
    FormPage,
    Link,
    Note,
    Resource,
    Section,
    Table,
    cells,
    moment,
)
from apps.panels.kit.blocks import Block
from apps.panels.secrets import SecretPage

KINDS = (
    ("budget.*", _("Budgets: a threshold is reached, one is set or changed")),
    ("wallet.*", _("Balance: topped up, credited, run out")),
    ("invoice.*", _("Invoices: final, paid, overdue, credited")),
    ("payment.*", _("Payments: arrived, failed, waiting")),
    ("refund.*", _("Refunds")),
    ("dispute.*", _("Disputes")),
    ("team.*", _("The team: suspended, active again")),
    ("instance.*", _("Machines: running, stopped, failed, out of sight")),
    ("endpoint.*", _("Endpoints: ready, degraded, asleep")),
    ("operation.*", _("Operations: begun, advanced, ended")),
    ("*", _("Everything")),
)
USUAL = ("budget.*", "wallet.*", "invoice.*", "payment.*", "team.*")
PYTHON = """from hostedai_sdk import webhooks

# raises BadSignature; the same id may come again
event = webhooks.verify(request.body, request.headers, "whsec_…")
if not known(event["id"]):
    print(event["type"], event["data"])"""
OPENSSL = """# id, sent and signature: the headers webhook-id, webhook-timestamp, webhook-signature
key=$(printf %s "${secret#whsec_}" | base64 -d | od -An -v -tx1 | tr -d ' \\n')
{ printf '%s.%s.' "$id" "$sent"; cat body.json; } |
  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64 | sed s/^/v1,/"""


def is_active(webhook: Any) -> bool:
    return bool(webhook.state == HookState.ACTIVE)


def is_paused(webhook: Any) -> bool:
    return not is_active(webhook)


def state_of(webhook: Webhook) -> Any:
    if webhook.state == HookState.PAUSED:
        return cells.status(
            "paused", _("Paused"), kind="off" if webhook.paused_because == "by_hand" else "bad"
        )
    if webhook.attempts:
        return cells.status("failing", _("Not delivered"), kind="warn")
    return cells.status("active", _("Active"))


def answer_of(status: int | None, problem: str) -> Any:
    """What a receiver answered, in a word and its number."""
    if status is None:
        return cells.status("failed", problem or "–", kind="bad")
    is_good = 200 <= status < 300
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    return cells.status("ok" if is_good else "bad", f"{status} {phrase}", kind="ok" if is_good else "bad")


TEST = Action(
    "test",
    _("Send a test"),
    Permission.WEBHOOK_MANAGE,
    lambda view, webhook: services.send_test(actor=view.actor, webhook_id=webhook.pk),
    icon="send",
    when=is_active,
    primary=True,
    done=_("The test is on its way."),
)
PAUSE = Action(
    "pause",
    _("Pause"),
    Permission.WEBHOOK_MANAGE,
    lambda view, webhook: services.pause_webhook(actor=view.actor, webhook_id=webhook.pk),
    icon="pause",
    when=is_active,
    bulk=True,
    done=_("Nothing is sent until it is resumed. What happens meanwhile waits for 30 days."),
)
RESUME = Action(
    "resume",
    _("Resume"),
    Permission.WEBHOOK_MANAGE,
    lambda view, webhook: services.resume_webhook(actor=view.actor, webhook_id=webhook.pk),
    icon="play",
    when=is_paused,
    primary=True,
    done=_("It goes on where it stopped."),
)
RESUME_FROM_NOW = Action(
    "skip",
    _("Resume from now"),
    Permission.WEBHOOK_MANAGE,
    lambda view, webhook: services.resume_webhook(actor=view.actor, webhook_id=webhook.pk, is_from_now=True),
    icon="play",
    when=is_paused,
    menu=True,
    confirm=_("What happened while it was paused is never sent."),
    done=_("It is sent what happens from now on."),
)
DELETE = Action(
    "delete",
    _("Delete"),
    Permission.WEBHOOK_MANAGE,
    lambda view, webhook: (
        services.delete_webhook(actor=view.actor, webhook_id=webhook.pk) or view.url("webhooks")
    ),
    icon="trash-2",
    confirm=_("Nothing is sent there any more; what waits is dropped."),
    danger=True,
    menu=True,
    bulk=True,
    done=_("The webhook is deleted."),
)
NEW = Link(_("Make a webhook"), "webhook-new", Permission.WEBHOOK_MANAGE)


class WebhookList(Resource):
    panel = "console"
    title = _("Webhooks")
    intro = _("The team's events, sent to addresses of yours: in order, signed, and until they are accepted.")
    permission = Permission.WEBHOOK_READ
    model = Webhook
    live = "webhook."
    order = "name"
    search = ("name", "url")
    search_hint = _("Search by name or address")
    filters = (Filter("state", _("State"), HookState.choices),)
    actions = (PAUSE, RESUME, DELETE)
    links = (NEW,)
    empty = Empty(
        _("No webhook yet"),
        _("Let a pager, a chat or a program of yours hear of budgets, invoices and machines."),
        NEW,
        icon="webhook",
    )
    columns = (
        Column("name", _("Name"), sort="name", main=True, to="webhook"),
        Column("url", _("Address"), lambda one: host_of(one.url), sort="url", mono=True, priority=2),
        Column("state", _("State"), state_of, sort="state"),
        Column("types", _("Events"), lambda one: cells.tags(one.types), priority=3, wrap=True,
               text=lambda one: " ".join(one.types)),
        Column("last_status", _("Last answer"), lambda one: last_answer(one), sort="last_status", priority=2),
        moment("delivered", _("Last delivery"), "last_delivered_at", num=True),
        moment("created", _("Made"), "created_at", num=True, priority=3),
    )  # fmt: skip

    def rows(self) -> QuerySet[Any]:
        return self.place.narrow(selectors.list_webhooks(actor=self.actor))


def host_of(url: str) -> str:
    """As much of an address as one may show over a shoulder."""
    return url.partition("?")[0]


def last_answer(webhook: Webhook) -> Any:
    newest = next(iter(webhook.tries), None)
    return answer_of(newest["status"], newest["problem"]) if newest else "–"


TRIES = (
    Column("type", _("Event"), lambda one: one["type"], main=True),
    Column("status", _("Answer"), lambda one: answer_of(one["status"], one["problem"])),
    Column("at", _("Sent"), lambda one: cells.when(datetime.fromisoformat(one["at"])), num=True),
    Column("number", _("Attempt"), lambda one: one["number"], num=True, priority=2),
    Column("seconds", _("Took"), lambda one: took(one["seconds"]), num=True, priority=2),
    Column("event", _("Id"), lambda one: one["event"], mono=True, priority=3),
)


def took(seconds: float) -> Any:
    return cells.duration(seconds) if seconds >= 1 else _("%(n)s ms") % {"n": round(seconds * 1000)}


class WebhookDetail(Detail):
    panel = "console"
    permission = Permission.WEBHOOK_READ
    model = Webhook
    nav = "webhooks"
    live = "webhook."
    actions = (TEST, PAUSE, RESUME, RESUME_FROM_NOW, DELETE)
    links = (
        Link(_("New secret"), "webhook-rotate", Permission.WEBHOOK_MANAGE, icon="key-round", primary=False),
        Link(_("Change"), "webhook-edit", Permission.WEBHOOK_MANAGE, icon="pencil", primary=False),
    )

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Webhooks")), self.url("webhooks"))]

    def status(self) -> Any:
        return state_of(self.object)

    def meta(self) -> list[Any]:
        return [cells.mono(host_of(self.object.url))]

    def top(self) -> Sequence[Block]:
        webhook = self.object
        if webhook.paused_because:
            text = _now("%(why)s. What happens meanwhile waits for 30 days.")
            tone = "info" if webhook.paused_because == "by_hand" else "bad"
            return [Note(text % {"why": webhook.get_paused_because_display()}, tone)]
        if not webhook.attempts:
            return []
        text = _now("The receiver has not accepted an event; it is tried again, and what follows waits.")
        return [Note(text, "warn")]

    def main_overview(self) -> list[Any]:
        empty = Empty(_("Nothing sent yet"), _("Send a test, or wait for the next event."), icon="send")
        title = _("Last attempts")
        return [
            Table(title, TRIES, self.object.tries, empty, sub=_("At most 20")),
            Code("verify", _("Check that it is from here"), [("Python", PYTHON), ("openssl", OPENSSL)]),
        ]

    def aside_overview(self) -> list[Any]:
        webhook = self.object
        facts = [
            (_("Events"), cells.tags(webhook.types)),
            (_("Waiting"), selectors.count_waiting(webhook)),
            (_("Last delivery"), cells.exact(webhook.last_delivered_at)),
        ]
        if webhook.next_attempt_at:
            facts += [
                (_("Next attempt"), cells.exact(webhook.next_attempt_at)),
                (_("Else paused"), cells.exact(webhook.deadline_at)),
            ]
        if webhook.old_until:
            facts.append((_("Old secret until"), cells.exact(webhook.old_until)))
        facts += [(_("Made by"), webhook.created_by_label), (_("Made"), cells.exact(webhook.created_at))]
        return [Facts(_("Details"), facts), Copies(_("For programs"), [(_("Id"), webhook.pk)])]


class WebhookFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("What hears of it: “pager”."))
    url = forms.CharField(
        label=_("Address"),
        max_length=500,
        help_text=_("A public address over TLS: https://…"),
        widget=forms.TextInput(attrs={"placeholder": "https://example.com/hook", "spellcheck": "false"}),
    )
    kinds = forms.MultipleChoiceField(
        label=_("Kinds"), choices=KINDS, widget=forms.CheckboxSelectMultiple, required=False
    )
    more = forms.CharField(
        label=_("Others"), required=False, max_length=1000,
        help_text=_("Single events, separated by blanks: “instance.running replica.failed”."),
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        """Kinds and single events are one list."""
        data: dict[str, Any] = super().clean() or {}
        types = [*data.pop("kinds", []), *data.pop("more", "").replace(",", " ").split()]
        if not types and not self.errors:
            self.add_error("kinds", _("Choose what it gets."))
        return {**data, "types": types}


SECTIONS = (
    Section(
        _("Where"),
        _("It answers with 2xx within ten seconds; anything else is tried again."),
        ("name", "url"),
    ),
    Section(_("What"), _("What everybody in the team may see, of all its workspaces."), ("kinds", "more")),
)


def crumbs_of(view: Any) -> list[tuple[str, str]]:
    return [(str(_("Webhooks")), view.url("webhooks"))]


class _Revealing(SecretPage):
    """A form that ends with a secret."""

    panel = "console"
    nav = "webhooks"
    permission = Permission.WEBHOOK_MANAGE
    secret_title = _("The secret of the webhook")

    def crumbs(self) -> list[tuple[str, str]]:
        return crumbs_of(self)

    def revealed(self) -> Sequence[Block]:
        return [
            Note(_("Copy the secret now. It is shown this once."), "warn"),
            Copies(_("Secret"), [(self.issued.webhook.name, self.issued.secret)]),
            Code("verify", _("Check that it is from here"), [("Python", PYTHON), ("openssl", OPENSSL)]),
        ]


class WebhookNew(_Revealing):
    title = _("Make a webhook")
    form_class: ClassVar[type[forms.Form]] = WebhookFields
    submit = _("Make the webhook")
    sections = SECTIONS

    def initial(self) -> dict[str, Any]:
        return {"kinds": USUAL}

    def save(self, data: dict[str, Any]) -> Any:
        self.issued = services.create_webhook(actor=self.actor, team=self.team, wish=HookWish(**data))
        return self.url("webhook", pk=self.issued.webhook.pk)


class WebhookRotate(_Revealing):
    title = _("A new secret")
    form_class: ClassVar[type[forms.Form]] = forms.Form
    submit = _("Make a new secret")

    @property
    def intro(self) -> Any:
        webhook = selectors.get_webhook(actor=self.actor, webhook_id=self.pk)
        text = _now("%(name)s: for 24 hours the old one signs too, so that receivers can change over.")
        return text % {"name": webhook.name}

    def save(self, data: dict[str, Any]) -> Any:
        self.issued = services.rotate_webhook(actor=self.actor, webhook_id=self.pk)
        return self.url("webhook", pk=self.pk)


class WebhookEdit(FormPage):
    panel = "console"
    nav = "webhooks"
    title = _("Change the webhook")
    permission = Permission.WEBHOOK_MANAGE
    form_class = WebhookFields
    submit = _("Change the webhook")
    done = _("The webhook is changed. What waits is tried at once.")
    sections = SECTIONS

    def crumbs(self) -> list[tuple[str, str]]:
        return crumbs_of(self)

    def initial(self) -> dict[str, Any]:
        found = selectors.get_webhook(actor=self.actor, webhook_id=self.pk)
        known = {name for name, _label in KINDS}
        more = " ".join(one for one in found.types if one not in known)
        return {"name": found.name, "url": found.url, "kinds": found.types, "more": more}

    def save(self, data: dict[str, Any]) -> Any:
        services.change_webhook(actor=self.actor, webhook_id=self.pk, **data)
        return self.url("webhook", pk=self.pk)
