"""The page of one endpoint."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import new_id
from apps.core.permissions import Permission
from apps.inference.models import Endpoint, Revision
from apps.inference.selectors import reading
from apps.inference.selectors.traffic import Traffic, traffic
from apps.inference.services import rollouts
from apps.inference.states import Desired, EndpointState, Metering
from apps.operations.models import Event
from apps.panels import endpoints, engine_log, metrics, operations, snippets, words
from apps.panels import traffic as charts
from apps.panels.kit import (
    Action,
    Code,
    Column,
    Empty,
    Events,
    Facts,
    Happened,
    InlineForm,
    Kpis,
    Link,
    Note,
    Tab,
    Table,
    actions,
    cells,
    shell,
)
from apps.panels.kit.forms import dress
from apps.panels.user import endpoint_forms as forms
from apps.registry.states import Modality

EVENTS_SHOWN = 60
_TONES = {"ready": "ok", "failed": "bad", "preempted": "bad", "degraded": "warn", "unhealthy": "warn"}


def _back(view: Any, one: Endpoint) -> None:
    rollouts.roll_back(actor=view.actor, endpoint_id=str(one.pk))


def _promote(view: Any, one: Endpoint) -> None:
    rollouts.promote_canary(actor=view.actor, endpoint_id=str(one.pk))


def _drop(view: Any, one: Endpoint) -> None:
    rollouts.drop_canary(actor=view.actor, endpoint_id=str(one.pk))


def _is_there(one: Endpoint) -> bool:
    return bool(one.desired == Desired.RUNNING)


ROLL_BACK = Action(
    "rollback",
    _("Roll back"),
    Permission.ENDPOINT_UPDATE,
    _back,
    icon="undo-2",
    when=lambda one: _is_there(one) and one.previous_id is not None,
    confirm=_("What was served before takes over again, without a gap."),
    menu=True,
    done=_("Rolling back."),
)
PROMOTE = Action(
    "promote",
    _("Promote canary"),
    Permission.ENDPOINT_UPDATE,
    _promote,
    icon="trending-up",
    when=lambda one: _is_there(one) and one.canary_id is not None and one.operation_id is None,
    confirm=_("All requests go to what the canary serves."),
    done=_("The canary takes over."),
)
DROP = Action(
    "drop",
    _("Drop canary"),
    Permission.ENDPOINT_UPDATE,
    _drop,
    icon="x",
    when=lambda one: _is_there(one) and one.canary_id is not None,
    confirm=_("Its replicas finish what is open and go."),
    done=_("The canary goes."),
)

TALK = Link(_("Playground"), "playground", Permission.INFERENCE_USE, icon="message-square", primary=False)
MAKE_KEY = Link(_("Make a key"), "api-key-new", Permission.API_KEY_MANAGE, icon="key", primary=False)


REPLICA_COLUMNS = (
    replace(endpoints.REPLICA_ID, to=engine_log.address_of),
    endpoints.REPLICA_STATE,
    endpoints.REPLICA_WHAT,
    endpoints.REPLICA_ON,
    endpoints.REPLICA_MESSAGE,
    endpoints.REPLICA_SINCE,
)
REVISION_COLUMNS = (
    Column("number", _("Revision"), lambda one: f"#{one.number}", main=True),
    Column("model", _("Serves"), lambda one: one.model_name),
    Column("hardware", _("Hardware"), lambda one: one.hardware.name, priority=2),
    Column("parallel", _("At once"), lambda one: one.parallel, num=True, priority=3),
    Column("by", _("Made by"), lambda one: one.created_by_label, priority=3),
    Column("at", _("Made"), lambda one: cells.when(one.created_at), num=True),
)


class EndpointPage(endpoints.EndpointDetail):
    panel = "console"
    tabs: ClassVar = (
        Tab("overview", _("Overview")),
        Tab("traffic", _("Traffic"), Permission.USAGE_READ),
        Tab("replicas", _("Replicas")),
        Tab("logs", _("Logs"), Permission.ENDPOINT_LOGS),
        Tab("scale", _("Scale and updates"), Permission.ENDPOINT_UPDATE),
        Tab("events", _("Events")),
    )
    actions = (PROMOTE, DROP, ROLL_BACK, endpoints.DELETE)

    # ------------------------------------------------------------ header

    def frame(self) -> dict[str, Any]:
        """With what one does next: talk to it, and make a key that opens nothing else."""
        chat = () if self.object.modality == Modality.EMBEDDING else (TALK,)
        ways = shell.links(self, (*chat, MAKE_KEY))
        model = urlencode({"model": self.object.slug})
        return {**super().frame(), "links": [{**one, "url": f"{one['url']}?{model}"} for one in ways]}

    def meta(self) -> list[Any]:
        one = self.object
        price = endpoints.price_of(one)
        if one.metering == Metering.TIME:
            price = _now("%(price)s per replica hour") % {"price": price}
        ready = _now("%(count)s replicas ready") % {"count": endpoints.count_of(one)}
        return [one.model_name, cells.mono(one.region.slug), ready, price]

    def top(self) -> list[Any]:
        one = self.object
        if not one.message:
            return []
        return [Note(one.message, "warn" if one.state == EndpointState.DEGRADED else "info")]

    # ------------------------------------------------------------ overview

    def main_overview(self) -> list[Any]:
        blocks = self.progress()
        if self.can(Permission.USAGE_READ) and self.object.ready_at is not None:
            found = self.traffic(timedelta(hours=1))
            figures = charts.figures(found, _("Requests, last hour"))[:3]
            blocks += [Kpis(figures), charts.requests(found, ())]
        return [*blocks, self._call(), self._events(8)]

    def aside_overview(self) -> list[Any]:
        return [self._details(), self._serves(_("Serves"), self.object.revision), *self._trying()]

    def traffic(self, span: timedelta) -> Traffic:
        return traffic(actor=self.actor, endpoint=self.object, span=span)

    def _call(self) -> Code:
        base = f"{self.request.scheme}://{self.request.get_host()}"
        one = self.object
        return Code("call", _("Call it"), snippets.of_call(base, one.slug, one.modality))

    def _details(self) -> Facts:
        one = self.object
        sleeps = _now("after %(n)s s without a request") % {"n": one.idle_seconds}
        return Facts(
            _("Details"),
            [
                (_("Replicas"), _now("%(a)s to %(b)s") % {"a": one.min_replicas, "b": one.max_replicas}),
                (_("Grows with"), one.get_scale_metric_display()),
                (_("Sleeps"), sleeps if one.idle_seconds and not one.min_replicas else _now("never")),
                (_("Routing"), one.get_policy_display()),
                (_("Made by"), one.created_by_label),
                (_("Created"), cells.exact(one.created_at)),
                (_("Id"), cells.mono(one.pk)),
            ],
        )

    def _serves(self, title: Any, revision: Revision | None) -> Facts:
        if revision is None:
            return Facts(title, [])
        digest = revision.digest.removeprefix("sha256:")[:16]
        return Facts(
            title,
            [
                (_("Model"), revision.model_name),
                (_("Revision"), f"#{revision.number}"),
                (_("Hardware"), revision.hardware.name),
                (_("Context"), _now("%(n)s tokens") % {"n": cells.number(revision.context_length)}),
                (_("At once"), revision.parallel),
                (_("Digest"), cells.mono(f"{digest}…")),
            ],
        )

    def _trying(self) -> list[Facts]:
        if self.object.canary is None:
            return []
        share = _now("Canary, %(n)s %% of requests") % {"n": self.object.canary_weight}
        return [self._serves(share, self.object.canary)]

    # ------------------------------------------------------------ other tabs

    def main_traffic(self) -> list[Any]:
        asked = self.request.GET.get("range", "1h")
        chosen = asked if asked in metrics.RANGES else "1h"
        links = [
            (label, f"{self.home()}?tab=traffic&range={name}", name == chosen)
            for name, (label, _span) in metrics.RANGES.items()
        ]
        found = self.traffic(metrics.RANGES[chosen][1])
        return [
            Kpis(charts.figures(found, _("Requests"))),
            charts.requests(found, links),
            charts.first_bytes(found),
            charts.latency(found),
            charts.tokens(found),
        ]

    def main_replicas(self) -> list[Any]:
        empty = Empty(_("No replica now"), _("The next request starts one."), icon="cpu")
        return [
            Table(
                _("Replicas"),
                REPLICA_COLUMNS,
                self.replicas,
                empty,
                view=self,
                buttons=lambda one: actions.buttons(self, [endpoints.REPLACE], one),
            ),
            self._revisions(),
        ]

    def _revisions(self) -> Table:
        rows = list(reading.list_revisions(actor=self.actor, endpoint_id=str(self.object.pk))[:20])
        return Table(_("Revisions"), REVISION_COLUMNS, rows, Empty(_("No revision yet"), "", icon="history"))

    def main_logs(self) -> list[Any]:
        return [engine_log.block(self)]

    def main_scale(self) -> list[Any]:
        one = self.object
        scale = dress(forms.ScaleFields(initial=forms.scale_initial(one)))
        recipe = dress(forms.RecipeFields(self.actor, one, initial=forms.recipe_initial(one), prefix=None))
        gap = _now("New replicas serve before old ones go; no request is lost.")
        return [
            self._form(_("Scale rules"), scale, "endpoint-scale", _("Save")),
            self._form(_("Serve something else"), recipe, "endpoint-deploy", _("Roll out"), gap),
        ]

    def aside_scale(self) -> list[Any]:
        one = self.object
        if one.canary_id is not None:
            weight = dress(forms.WeightFields(initial={"weight": one.canary_weight}, auto_id="canary_%s"))
            return [self._form(_("Share of the canary"), weight, "endpoint-weigh", _("Save"))]
        initial = {**forms.recipe_initial(one), "weight": 10}
        canary = dress(forms.CanaryFields(self.actor, one, initial=initial, auto_id="canary_%s"))
        text = _now("A share of the requests goes to replicas of their own.")
        return [self._form(_("Try a canary"), canary, "endpoint-canary", _("Try it out"), text)]

    def _form(self, title: Any, form: Any, route: str, submit: Any, text: Any = "") -> InlineForm:
        return InlineForm(title, form, self.url(route, pk=self.pk), submit, new_id("form"), text)

    def main_events(self) -> list[Any]:
        return [self._events(EVENTS_SHOWN)]

    def _events(self, most: int) -> Events:
        rows = Event.objects.visible_to(self.actor).filter(subject=self.object.pk).order_by("-seq")[:most]
        return Events(_("What happened"), [happened(one) for one in rows])


def happened(one: Event) -> Happened:
    """An event as a line of a timeline."""
    tone = _TONES.get(one.type.rpartition(".")[2], "")
    return Happened(words.event(one.type), one.at, operations.reason_of(one.data), tone)


class EngineLogText(engine_log.EngineLogText):
    panel = "console"
