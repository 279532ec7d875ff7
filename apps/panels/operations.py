"""Operations and events as all three panels show them; each panel subclasses with its own name."""

from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.operations import services
from apps.operations.models import Event, Operation, OperationStep
from apps.operations.states import OPEN, State
from apps.panels import words
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    Events,
    Facts,
    Filter,
    Happened,
    Note,
    Resource,
    SavedView,
    Step,
    Steps,
    cells,
    moment,
)
from apps.panels.subjects import page_of


def cancel(view: Any, operation: Operation) -> None:
    services.cancel_operation(actor=view.actor, operation_id=operation.pk)


CANCEL = Action(
    "cancel",
    _("Cancel"),
    Permission.OPERATION_CANCEL,
    cancel,
    icon="ban",
    when=lambda operation: operation.is_open and operation.is_cancellable,
    confirm=_("What was begun is undone. Nothing is charged for it."),
    danger=True,
    done=_("The operation is being cancelled."),
)


def _kinds(view: Any) -> list[tuple[str, Any]]:
    known = view.rows().order_by("kind").values_list("kind", flat=True).distinct()
    return [(name, words.kind(name)) for name in known[:40]]


def state_of(operation: Operation) -> Any:
    """The state; what is under way turns."""
    return cells.status(
        operation.state, operation.get_state_display(), kind="info" if operation.is_open else ""
    )


def seconds_of(operation: Operation) -> float:
    end = operation.finished_at or timezone.now()
    return max(0.0, (end - operation.created_at).total_seconds())


def steps_of(found: list[OperationStep]) -> list[Step]:
    """The timeline as the stepper wants it."""
    return [
        Step(
            words.step(one.name),
            one.state,
            one.get_plane_display(),
            one.detail,
            (one.finished_at - one.started_at).total_seconds()
            if one.finished_at and one.started_at
            else None,
        )
        for one in found
    ]


def _target(view: Any, one: Operation) -> str:
    return page_of(view.place, one.target_id)


class OperationList(Resource):
    title = _("Operations")
    permission = Permission.OPERATION_READ
    model = Operation
    live = "operation."
    order = "-started"
    search = ("target_name", "actor_label", "error_message")
    search_hint = _("Search by target, person or error")
    views = (
        SavedView("all", _("All")),
        SavedView("open", _("Under way"), Q(state__in=sorted(OPEN))),
        SavedView("failed", _("Failed"), Q(state=State.FAILED)),
    )
    filters = (Filter("state", _("State"), State.choices), Filter("kind", _("Kind"), _kinds))
    actions = (CANCEL,)
    empty = Empty(
        _("Nothing has been asked for yet"), _("Launches, stops and drains are listed here, step by step.")
    )

    columns = (
        Column(
            "kind",
            _("What"),
            lambda one: words.kind(one.kind),
            sort="kind",
            main=True,
            to="operation",
            text=lambda one: words.kind(one.kind),
        ),
        Column("target_name", _("Target"), sort="target_name", to=_target),
        Column(
            "state", _("State"), lambda one: cells.status(one.state, one.get_state_display()), sort="state"
        ),
        Column("progress", _("Progress"), lambda one: _progress(one), priority=3),
        Column("actor_label", _("Asked by"), sort="actor_label", priority=2),
        Column(
            "took",
            _("Took"),
            lambda one: cells.duration(seconds_of(one)),
            num=True,
            priority=2,
            text=lambda one: seconds_of(one),
        ),
        moment("started", _("Started"), "created_at", num=True),
    )


def _progress(one: Operation) -> Any:
    if one.state == State.FAILED:
        return cells.muted(one.error_message[:60])
    return cells.shared(one.progress / 100) if one.is_open else cells.NONE


class OperationDetail(Detail):
    permission = Permission.OPERATION_READ
    model = Operation
    live = "operation."
    actions = (CANCEL,)
    list_route = "operations"

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Operations")), self.url(self.list_route))]

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.prefetch_related("steps")

    def heading(self) -> Any:
        return f"{words.kind(self.object.kind)} {self.object.target_name}"

    def status(self) -> Any:
        return state_of(self.object)

    def top(self) -> list[Any]:
        one = self.object
        if one.state != State.FAILED:
            return []
        notes = [Note(one.error_message or _("It failed without saying why."), "bad")]
        return notes + ([Note(one.undone, "info")] if one.undone else [])

    def main_overview(self) -> list[Any]:
        one = self.object
        elapsed = seconds_of(one) if one.is_open else None
        progress = one.progress if one.is_open else None
        return [Steps(_("Steps"), steps_of(list(one.steps.all())), elapsed=elapsed, progress=progress)]

    def aside_overview(self) -> list[Any]:
        one = self.object
        facts = [
            (_("Asked by"), one.actor_label),
            (_("Target"), cells.link(one.target_name, _target(self, one))),
            (_("Started"), cells.exact(one.created_at)),
            (_("Finished"), cells.exact(one.finished_at) if one.finished_at else None),
            (_("Took"), cells.duration(seconds_of(one))),
            (_("Deadline"), cells.exact(one.deadline_at) if one.deadline_at and one.is_open else None),
            (_("Error"), cells.mono(one.error_code) if one.error_code else None),
            (_("Id"), cells.mono(one.pk)),
        ]
        return [Facts(_("Details"), facts)]


def _event_kinds(view: Any) -> list[tuple[str, Any]]:
    known = view.rows().order_by("type").values_list("type", flat=True).distinct()
    return [(name, words.event(name)) for name in known[:60]]


class EventList(Resource):
    title = _("Events")
    permission = Permission.EVENT_READ
    model = Event
    order = "-at"
    search = ("subject", "type")
    search_hint = _("Search by id or type")
    filters = (Filter("type", _("Type"), _event_kinds),)
    empty = Empty(
        _("Nothing has happened yet"), _("Everything that happens is written here, with its reason.")
    )
    columns = (
        Column("type", _("What"), lambda one: words.event(one.type), main=True, text=lambda one: one.type),
        Column(
            "subject",
            _("To"),
            lambda one: cells.mono(short(one.subject)),
            text=lambda one: one.subject,
            to=lambda view, one: page_of(view.place, one.subject),
        ),
        Column(
            "why",
            _("Why"),
            lambda one: cells.muted(reason_of(one.data)[:90]),
            text=lambda one: str(one.data),
            priority=2,
        ),
        Column("seq", _("Number"), lambda one: one.seq, num=True, priority=3, sort="seq"),
        moment("at", _("When"), "at", num=True, sort="seq"),
    )


_TONES = {
    **dict.fromkeys(("ready", "healthy"), "ok"),
    **dict.fromkeys(("degraded", "unhealthy", "suspect"), "warn"),
    **dict.fromkeys(("failed", "preempted", "unreachable"), "bad"),
}


def what_happened(view: Any, subject: str, most: int) -> Events:
    """The newest events of one thing as a timeline."""
    rows = Event.objects.visible_to(view.actor).filter(subject=subject).order_by("-seq")[:most]
    lines = [
        Happened(
            words.event(one.type), one.at, reason_of(one.data), _TONES.get(one.type.rpartition(".")[2], "")
        )
        for one in rows
    ]
    return Events(_("What happened"), lines)


def short(subject: str) -> str:
    """An id by its kind and its end, which differs most: `end_…6m3k9x2d`."""
    kind, _sign, rest = subject.partition("_")
    return f"{kind}_…{rest[-8:]}" if len(rest) > 8 else subject


def reason_of(data: dict[str, Any]) -> str:
    """The part of an event's data that a person wants to read."""
    for name in ("reason", "message", "error", "detail"):
        if data.get(name):
            return str(data[name])
    return ""
