"""The audit log as all three panels show it; each panel subclasses with its own name."""

from functools import cache
from typing import Any

from django.apps import apps
from django.utils.translation import gettext_lazy as _

from apps.audit.models import Record
from apps.core.permissions import Permission
from apps.panels.kit import Column, Empty, Filter, Happened, Resource, SavedView, cells, moment
from apps.panels.subjects import page_of
from apps.panels.words import readable, spoken

KINDS = (
    ("user", _("People")),
    ("key", _("API keys")),
    ("system", _("The platform")),
)


def action_of(record: Record) -> Any:
    return readable(record.action)


def happened(view: Any, record: Record, why: str) -> Happened:
    """A record as a line of a timeline."""
    text = f"{action_of(record)} · {record.target_label}"
    return Happened(text, record.at, why, url=page_of(view.place, record.target_id))


def who_of(record: Record) -> Any:
    return cells.two_lines(record.actor_label, record.ip or record.actor_kind)


def what_of(record: Record) -> Any:
    return cells.two_lines(record.target_label or "–", kind_of(record.target_type))


@cache
def kind_of(name: str) -> str:
    """What a page calls the things of a model: `apikey` is an “API key”."""
    found = (one for one in apps.get_models() if one._meta.model_name == name)
    return next((spoken(str(one._meta.verbose_name)) for one in found), name)


def detail_of(record: Record, most: int = 1000) -> str:
    """The particulars in a line, none longer than `most`; the CSV file has them whole."""
    said = [
        f"{spoken(name)}: {_plain(value)[:most]}"
        for name, value in record.data.items()
        if value not in ("", None, [])
    ]
    return ", ".join(said)


def short_of(record: Record) -> Any:
    return cells.muted(detail_of(record, 32)[:160])


def _plain(value: Any) -> str:
    return " ".join(str(one) for one in value) if isinstance(value, list) else str(value)


class AuditList(Resource):
    title = _("Audit log")
    permission = Permission.AUDIT_READ
    intro = _("Everything that was done, by whom. It is never changed, and sealed in a chain of hashes.")
    model = Record
    order = "-at"
    search = ("actor_label", "target_label", "action", "target_id__iexact", "request_id__iexact")
    search_hint = _("Search by person, object or action")
    filters = (Filter("by", _("By"), KINDS, field="actor_kind"),)
    views: tuple[SavedView, ...] = ()
    empty = Empty(_("Nothing was done yet"), _("Every change appears here."), icon="scroll-text")
    columns = (
        Column("action", _("What"), action_of, sort="action", main=True, text=lambda one: one.action),
        Column(
            "target",
            _("Object"),
            what_of,
            sort="target_label",
            text=lambda one: f"{one.target_type} {one.target_id}",
            to=lambda view, one: page_of(view.place, one.target_id),
        ),
        Column("who", _("Who"), who_of, sort="actor_label", text=lambda one: one.actor_label),
        Column(
            "data",
            _("Particulars"),
            short_of,
            wrap=True,
            priority=3,
            text=detail_of,
        ),
        Column("request_id", _("Request"), lambda one: one.request_id[-8:], priority=3, mono=True),
        moment("at", _("When"), "at", num=True),
    )
