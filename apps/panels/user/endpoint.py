"""The page of one endpoint."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.inference.selectors.traffic import Traffic, traffic
from apps.inference.states import EndpointState, Metering
from apps.panels import endpoint_changes, endpoints, engine_log, metrics, operations, snippets
from apps.panels import traffic as charts
from apps.panels.kit import (
    Code,
    Empty,
    Facts,
    Kpis,
    Link,
    Note,
    Tab,
    Table,
    actions,
    cells,
    shell,
)
from apps.registry.states import Modality

EVENTS_SHOWN = 60


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


class EndpointPage(endpoint_changes.Changing):
    panel = "console"
    tabs: ClassVar = (
        Tab("overview", _("Overview")),
        Tab("traffic", _("Traffic"), Permission.USAGE_READ),
        Tab("replicas", _("Replicas")),
        Tab("logs", _("Logs"), Permission.ENDPOINT_LOGS),
        endpoint_changes.TAB,
        Tab("events", _("Events")),
    )
    actions = (*endpoint_changes.ACTIONS, endpoints.DELETE)

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
        return [*blocks, self._call(), operations.what_happened(self, str(self.object.pk), 8)]

    def aside_overview(self) -> list[Any]:
        return [self._details(), self.serves(_("Serves"), self.object.revision), *self.trying()]

    def traffic(self, span: timedelta) -> Traffic:
        return traffic(actor=self.actor, endpoint=self.object, span=span)

    def _call(self) -> Code:
        base = f"{self.request.scheme}://{self.request.get_host()}"
        one = self.object
        return Code("call", _("Call it"), snippets.of_call(base, one.slug, one.modality))

    def _details(self) -> Facts:
        one = self.object
        sleeps = _now("after %(n)s s without a request") % {"n": one.idle_seconds}
        apart = one.isolation
        return Facts(
            _("Details"),
            [
                (_("Replicas"), _now("%(a)s to %(b)s") % {"a": one.min_replicas, "b": one.max_replicas}),
                (_("Grows with"), one.get_scale_metric_display()),
                (_("Sleeps"), sleeps if one.idle_seconds and not one.min_replicas else _now("never")),
                (_("Routing"), one.get_policy_display()),
                (_("Isolation"), cells.two_lines(apart.label, apart.limits)),
                (_("Made by"), one.created_by_label),
                (_("Created"), cells.exact(one.created_at)),
                (_("Id"), cells.mono(one.pk)),
            ],
        )

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
            self.revisions(),
        ]

    def main_logs(self) -> list[Any]:
        return [engine_log.block(self)]

    def main_events(self) -> list[Any]:
        return [operations.what_happened(self, str(self.object.pk), EVENTS_SHOWN)]


class EngineLogText(engine_log.EngineLogText):
    panel = "console"
