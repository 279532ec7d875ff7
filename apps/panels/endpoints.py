"""What the lists and pages of endpoints and replicas share in all three panels."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from apps.core.actor import Actor
from apps.core.permissions import Permission
from apps.inference.models import Endpoint, Replica
from apps.inference.selectors import reading
from apps.inference.selectors.traffic import Figures, Lately, lately
from apps.inference.services import endpoints, providers, replicas
from apps.inference.states import COMING, LIVE, Desired, EndpointState, Kind, Metering, ReplicaState
from apps.operations.selectors import operations_of
from apps.operations.states import State as OperationState
from apps.panels import operations, words
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    Filter,
    Resource,
    SavedView,
    Steps,
    actions,
    cells,
    moment,
)
from apps.panels.kit.palette import LIMIT, SOURCES, Hit, Source
from apps.panels.kit.places import Place

READ = Permission.ENDPOINT_READ
_KINDS: dict[str, str] = {
    EndpointState.READY: "ok",
    EndpointState.DEPLOYING: "info",
    EndpointState.DEGRADED: "warn",
    EndpointState.SCALED_TO_ZERO: "off",
    EndpointState.DELETING: "info",
    EndpointState.DELETED: "off",
    ReplicaState.PENDING: "info",
    ReplicaState.PROVISIONING: "info",
    ReplicaState.STARTING: "info",
    ReplicaState.READY: "ok",
    ReplicaState.UNHEALTHY: "warn",
    ReplicaState.DRAINING: "info",
    ReplicaState.STOPPED: "off",
    ReplicaState.PREEMPTED: "bad",
    ReplicaState.FAILED: "bad",
}


def state_of(one: Endpoint | Replica) -> Any:
    return cells.status(one.state, one.get_state_display(), kind=_KINDS.get(str(one.state), ""))


def count_of(one: Endpoint) -> Any:
    """Ready replicas of those wanted; providers, where they alone answer."""
    ready = int(getattr(one, "ready_count", 0))
    if one.is_provided:
        return ngettext("%(n)s provider", "%(n)s providers", ready) % {"n": ready}
    # A canary's replicas, and those that come before others go, are ready beside the wanted ones.
    return _now("%(ready)s of %(wanted)s") % {"ready": ready, "wanted": max(one.wanted, ready)}


def price_of(one: Endpoint) -> Any:
    """What an hour of one replica costs; nothing where tokens are charged."""
    if one.metering == Metering.TOKENS:
        return cells.muted(_now("per token"))
    return cells.price(one.hourly, one.currency)


def _delete(view: Any, one: Endpoint) -> None:
    endpoints.delete_endpoint(actor=view.actor, endpoint_id=str(one.pk))


def _replace(view: Any, one: Replica) -> None:
    replicas.replace_replica(actor=view.actor, replica_id=str(one.pk))


def _remove(view: Any, one: Replica) -> None:
    providers.remove_provider(actor=view.actor, replica_id=str(one.pk))


DELETE = Action(
    "delete",
    _("Delete"),
    Permission.ENDPOINT_DELETE,
    _delete,
    icon="trash-2",
    when=lambda one: one.desired != Desired.GONE,
    confirm=_("Nobody can call it any more. Open requests are finished, then its replicas go for good."),
    danger=True,
    menu=True,
    bulk=True,
    done=_("The endpoint is being deleted."),
)
REPLACE = Action(
    "replace",
    _("Replace"),
    Permission.ENDPOINT_OPERATE,
    _replace,
    icon="rotate-cw",
    when=lambda one: not one.is_external and one.desired == Desired.RUNNING and one.state in LIVE,
    confirm=_("It finishes the requests that are open and goes; another takes its place."),
    bulk=True,
    done=_("The replica is being replaced."),
)
EDIT = Action(
    "edit",
    _("Change"),
    Permission.ENDPOINT_UPDATE,
    lambda view, one: view.url("provider", pk=one.pk),
    icon="pencil",
    when=lambda one: one.is_external and one.desired == Desired.RUNNING,
)
REMOVE = Action(
    "remove",
    _("Remove"),
    Permission.ENDPOINT_UPDATE,
    _remove,
    icon="trash-2",
    when=lambda one: one.is_external and one.desired == Desired.RUNNING,
    confirm=_("This provider is asked no more. What it is answering is finished."),
    danger=True,
    done=_("The provider is being removed."),
)


OF_REPLICA = (REPLACE, EDIT, REMOVE)  # on the page of its endpoint


def _regions(view: Any) -> list[tuple[str, Any]]:
    known = view.rows().order_by("region__slug").values_list("region_id", "region__slug").distinct()
    return list(known[:60])


NAME = Column("slug", _("Model name"), sort="slug", main=True, to="endpoint", mono=True)
STATE = Column("state", _("Status"), state_of, sort="state", text=lambda one: one.get_state_display())
MODEL = Column("model_name", _("Serves"), sort="model_name", priority=2)
COUNT = Column("replicas", _("Replicas"), count_of, num=True, text=count_of)
REGION = Column("region__slug", _("Region"), sort="region__slug", mono=True, priority=2)
TEAM = Column(
    "team_name", _("Team"), lambda one: one.team_name or _now("Provider"), sort="team_name", priority=2
)
PRICE = Column("hourly", _("Replica hour"), price_of, sort="hourly", num=True, text=lambda one: one.hourly)


def _lately(one: Endpoint) -> Lately:
    return getattr(one, "lately", Lately((), Figures()))


def line_of(one: Endpoint) -> Any:
    """Requests of the last hour, as a line and a number per minute."""
    found = _lately(one)
    if not found.total.requests:
        return cells.muted(_now("none"))
    rate = f"{found.total.requests / 60:.1f}"
    said = _now("%(n)s/min") % {"n": rate}
    return format_html('<span class="spark-n">{}{}</span>', cells.sparkline(found.counts), said)


def tail_of(one: Endpoint) -> Any:
    """How long 95 % of the last hour's answers took at most."""
    p95 = _lately(one).total.p95
    return cells.muted("–") if p95 is None else _now("%(s)s s") % {"s": f"{p95:.2f}"}


REQUESTS = Column(
    "requests", _("Last hour"), line_of, num=True, priority=2,
    text=lambda one: _lately(one).total.requests,
)  # fmt: skip
TAIL = Column(
    "p95", _("95 % within"), tail_of, num=True, priority=3, text=lambda one: _lately(one).total.p95 or ""
)
TOKENS = Column(
    "tokens", _("Tokens"), lambda one: cells.number(_tokens(one)), num=True, priority=3,
    text=lambda one: _tokens(one),
)  # fmt: skip


def _tokens(one: Endpoint) -> int:
    total = _lately(one).total
    return total.input + total.output


AGE = moment("created", _("Age"), "created_at", cells.ago, num=True, priority=3)
_STATES = [one for one in EndpointState.choices if one[0] != EndpointState.DELETED]
STATE_FILTER = Filter("state", _("Status"), _STATES)
REGION_FILTER = Filter("region", _("Region"), _regions, field="region_id")


class EndpointList(Resource):
    """All that have not been deleted."""

    title = _("Endpoints")
    permission = READ
    model = Endpoint
    live = "endpoint. replica."
    order = "-created"
    search: ClassVar[Sequence[str]] = ("slug", "name", "model_name", "team_name")
    search_hint = _("Search by name, model or team")
    views: ClassVar[Sequence[SavedView]] = (
        SavedView("all", _("All")),
        SavedView("ready", _("Ready"), Q(state=EndpointState.READY)),
        SavedView("asleep", _("Asleep"), Q(state=EndpointState.SCALED_TO_ZERO)),
        SavedView("trouble", _("Needs attention"), Q(state=EndpointState.DEGRADED)),
    )
    actions = (DELETE,)
    empty = Empty(_("No endpoint here"), _("Models that customers launch are listed here."), icon="box")

    def rows(self) -> QuerySet[Any]:
        return super().rows().exclude(state=EndpointState.DELETED)

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return reading.counted(rows.select_related("region"))

    def complete(self, rows: Sequence[Any]) -> None:
        found = lately(actor=self.actor, endpoints=rows)
        for one in rows:
            one.lately = found[str(one.pk)]


def since_of(one: Replica) -> Any:
    return cells.muted("–") if one.started_at is None or one.is_ended else cells.ago(one.started_at)


def model_of(one: Replica) -> str:
    return one.revision.model_name if one.revision else one.provider_model


def role_of(one: Replica) -> str:
    """Which revision it is of; of an external provider, when it is asked."""
    if one.revision is not None:
        return _now("revision %(n)s") % {"n": one.revision.number}
    if one.is_fallback:
        return _now("fallback")
    return _now("first choice") if one.endpoint.is_provided else _now("beside our own")


def what_of(one: Replica) -> Any:
    return cells.two_lines(model_of(one), role_of(one))


def where_of(one: Replica) -> str:
    """Its node or cluster; of an external provider, the host."""
    if one.is_external:
        return urlsplit(one.url).netloc
    return one.node.name if one.node else one.cluster.slug if one.cluster else ""


REPLICA_ID = Column(
    "id", _("Replica"), lambda one: cells.mono(one.pk[-8:]), main=True, text=lambda one: one.pk
)
REPLICA_STATE = Column("state", _("Status"), state_of, sort="state", text=lambda one: one.get_state_display())
REPLICA_OF = Column("endpoint__slug", _("Endpoint"), sort="endpoint__slug", mono=True)
REPLICA_TEAM = Column(
    "endpoint__team_name",
    _("Team"),
    lambda one: one.endpoint.team_name or _now("Provider"),
    sort="endpoint__team_name",
    priority=2,
)
REPLICA_WHAT = Column("serves", _("Serves"), what_of, priority=2, text=model_of)
REPLICA_ON = Column(
    "hardware", _("Hardware"), lambda one: one.revision.hardware.name if one.revision else "", priority=3
)
REPLICA_WHERE = Column("node", _("Where"), lambda one: cells.mono(where_of(one)), priority=2, text=where_of)
REPLICA_PLACE = Column(
    "region__slug",
    _("Where"),
    lambda one: cells.two_lines(cells.mono(where_of(one)), one.region.slug),
    sort="region__slug",
    priority=2,
    text=lambda one: f"{one.region.slug} {where_of(one)}",
)
REPLICA_MESSAGE = Column("message", _("Message"), lambda one: one.message, priority=3, wrap=True)
REPLICA_SINCE = Column("since", _("Ready for"), since_of, sort="started_at", num=True)
REPLICA_SEEN = moment("seen", _("Last seen"), "last_seen_at", sort=(), num=True, priority=3)


# What failed needs nobody once others serve in its place.
SERVED = (EndpointState.READY, EndpointState.SCALED_TO_ZERO)
TROUBLE = Q(state=ReplicaState.UNHEALTHY) | Q(state=ReplicaState.FAILED) & ~Q(endpoint__state__in=SERVED)


class ReplicaList(Resource):
    """The fleet: engines that are there or coming, and those that failed."""

    title = _("Replicas")
    permission = READ
    model = Replica
    live = "replica."
    order = "-id"
    search: ClassVar[Sequence[str]] = ("endpoint__slug", "endpoint__team_name")
    search_hint = _("Search by endpoint or team")
    views: ClassVar[Sequence[SavedView]] = (
        SavedView("all", _("All")),
        SavedView("ready", _("Ready"), Q(state=ReplicaState.READY)),
        SavedView("coming", _("Coming"), Q(state__in=sorted(COMING))),
        SavedView("trouble", _("Needs attention"), TROUBLE),
    )
    filters: ClassVar[Sequence[Filter]] = (
        Filter("state", _("Status"), ReplicaState.choices),
        Filter("region", _("Region"), _regions, field="region_id"),
        Filter("kind", _("Kind"), Kind.choices),
    )
    actions = (REPLACE, REMOVE)
    empty = Empty(_("No replica here"), _("Engines that answer for endpoints are listed here."), icon="cpu")

    def rows(self) -> QuerySet[Any]:
        return super().rows().shown()  # type: ignore[attr-defined, no-any-return]

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.select_related("endpoint", "region", "cluster", "node", "revision__hardware")


class EndpointDetail(Detail):
    """The page of one endpoint, with its replicas on it."""

    permission = READ
    model = Endpoint
    live = "endpoint. replica. operation."

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return reading.counted(
            rows.select_related("region", "revision__hardware", "canary__hardware", "previous")
        )

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Endpoints")), self.url("endpoints"))]

    def heading(self) -> Any:
        return self.object.slug

    def home(self) -> str:
        return self.url("endpoint", pk=self.pk)

    def status(self) -> Any:
        return state_of(self.object)

    @cached_property
    def replicas(self) -> list[Replica]:
        """Those that are there or coming, and those that failed."""
        return list(reading.list_replicas(actor=self.actor, endpoint_id=str(self.object.pk))[:100])

    def progress(self) -> list[Any]:
        """The timeline of what is being done to it, or failed last."""
        latest = operations_of(actor=self.actor, target_id=str(self.object.pk)).first()
        if latest is None or not (latest.is_open or latest.state == OperationState.FAILED):
            return []
        failed = latest.state == OperationState.FAILED
        note = ""
        if latest.kind == "endpoint.create" and self.object.metering == Metering.TIME:
            note = _now("Not charged before it answers. You can leave this page.")
        if failed:
            note = " ".join(part for part in (latest.error_message, latest.undone) if part)
        return [
            Steps(
                words.kind(latest.kind),
                operations.steps_of(list(latest.steps.all())),
                note=note,
                elapsed=None if failed else operations.seconds_of(latest),
                progress=None if failed else latest.progress,
            )
        ]

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return actions.perform(self, OF_REPLICA if self._is_of_replica() else self.actions)

    def targets(self, ids: Any) -> list[Any]:
        if not self._is_of_replica():
            return super().targets(ids)
        return [one for one in self.replicas if one.pk in ids]

    def _is_of_replica(self) -> bool:
        asked = str(self.request.POST.get("do", "")).partition(":")[0]
        return asked in [one.name for one in OF_REPLICA]


def find(actor: Actor, place: Place, text: str) -> list[Hit]:
    """Endpoints of the place by name, for the palette."""
    rows = place.narrow(Endpoint.objects.visible_to(actor)).exclude(state=EndpointState.DELETED)
    found = rows.filter(slug__icontains=text).order_by("slug")[:LIMIT]
    return [Hit(one.slug, place.url("endpoint", pk=one.pk), "box", one.get_state_display()) for one in found]


for _panel in ("console", "admin"):
    SOURCES[_panel].append(Source(_("Endpoints"), READ, find))
