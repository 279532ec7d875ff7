"""The page of one endpoint as staff sees it: where its replicas are and what happened."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.models import PriceVersion
from apps.billing.models.terms import STANDARD
from apps.billing.selectors import prices
from apps.core.permissions import Permission
from apps.inference.models import Replica
from apps.inference.selectors.traffic import traffic
from apps.inference.states import Metering
from apps.panels import endpoint_changes, endpoints, operations
from apps.panels import traffic as charts
from apps.panels.kit import Column, Empty, Facts, Kpis, Note, Tab, Table, actions, cells
from apps.registry.states import Modality

EVENTS_SHOWN = 60
MILLIONS = {
    "input": _("A million in"),
    "cached": _("A million cached"),
    "output": _("A million out"),
    "embedding": _("A million embedded"),
}


def _which(one: Replica) -> Any:
    """It, and where it is: the page is narrow."""
    return cells.two_lines(cells.mono(one.pk[-8:]), endpoints.where_of(one))


def _what(one: Replica) -> Any:
    return cells.two_lines(endpoints.model_of(one), one.message or endpoints.role_of(one))


COLUMNS = (
    Column("id", _("Replica"), _which, main=True, to=lambda view, one: view.address_of(one)),
    endpoints.REPLICA_STATE,
    Column("serves", _("Serves"), _what, priority=2, wrap=True),
    endpoints.REPLICA_SINCE,
)


class StaffEndpoint(endpoint_changes.Changing):
    """What a team serves is changed by the team; staff changes the provider's own."""

    tabs: ClassVar[Sequence[Tab]] = (Tab("overview", _("Overview")), endpoint_changes.TAB)

    @property
    def actions(self) -> Any:  # type: ignore[override]
        return (*endpoint_changes.ACTIONS, endpoints.DELETE) if self.is_ours else (endpoints.DELETE,)

    @property
    def is_ours(self) -> bool:
        """Whether it is the provider's own and runs on engines, which one may change."""
        return self.object.is_platform and not self.object.is_provided

    def meta(self) -> list[Any]:
        one = self.object
        whose = one.team_name or _now("Provider")
        return [whose, one.model_name, cells.mono(one.region.slug), endpoints.count_of(one)]

    def top(self) -> list[Any]:
        return [Note(self.object.message, "warn")] if self.object.message else []

    def main_overview(self) -> list[Any]:
        return [
            *self.progress(),
            *self._traffic(),
            Table(
                _("Replicas"),
                COLUMNS,
                self.replicas,
                Empty(_("No replica now"), "", icon="cpu"),
                link=self.replica_link(),
                view=self,
                buttons=lambda one: actions.buttons(self, endpoints.OF_REPLICA, one),
            ),
            operations.what_happened(self, str(self.object.pk), EVENTS_SHOWN),
        ]

    def main_scale(self) -> list[Any]:
        return [*super().main_scale(), self.revisions()]

    def replica_link(self) -> tuple[Any, str] | None:
        """Where one adds a replica by hand, if one may."""
        return None

    def address_of(self, one: Replica) -> str:
        """Where more is to be read of a replica, for those who may."""
        return ""

    def _traffic(self) -> list[Any]:
        """The last day, for those who may see what is used."""
        if not self.can(Permission.USAGE_READ):
            return []
        found = traffic(actor=self.actor, endpoint=self.object, span=timedelta(days=1))
        return [Kpis(charts.figures(found, _("Requests, last day"))), charts.requests(found, ())]

    def aside_overview(self) -> list[Any]:
        one = self.object
        return [
            Facts(
                _("Details"),
                [
                    (_("Charged"), one.get_metering_display()),
                    *self._price(),
                    *([] if one.is_provided else self._scale()),
                    (_("Context"), cells.number(one.context_length) if one.is_provided else None),
                    (_("Last problem"), one.last_error or None),
                    (_("Made by"), one.created_by_label),
                    (_("Created"), cells.exact(one.created_at)),
                    (_("Id"), cells.mono(one.pk)),
                ],
            ),
            *self.trying(),
        ]

    def _price(self) -> list[tuple[Any, Any]]:
        """Of an hour, or of a million tokens of each kind by the standard list."""
        one = self.object
        if one.metering == Metering.TIME:
            return [(_("Replica hour"), endpoints.price_of(one))]
        if not self.can(Permission.PRICE_READ):
            return []
        named = {f"tokens:{one.price_slug}:{kind}": label for kind, label in MILLIONS.items()}
        found = prices.price_book(actor=self.actor).at(timezone.now())
        rows = found.filter(product__in=named, book=STANDARD).order_by("currency", "product")
        told = [(named[row.product], self._change(row)) for row in rows]
        return told or [(_("Price"), self._no_price())]

    def _change(self, row: PriceVersion) -> Any:
        """A price, leading to where it is changed for those who may."""
        return cells.link(
            cells.price(row.unit_price, row.currency), self._set_price(row.product, row.currency)
        )

    def _no_price(self) -> Any:
        kind = "embedding" if self.object.modality == Modality.EMBEDDING else "input"
        product = f"tokens:{self.object.price_slug}:{kind}"
        return cells.link(
            cells.tag(_now("none: nobody can call it"), "warn"), self._set_price(product, "EUR")
        )

    def _set_price(self, product: str, currency: str) -> str:
        if not self.can(Permission.PRICE_MANAGE):
            return ""
        return f"{self.url('price-new')}?{urlencode({'product': product, 'currency': currency})}"

    def _scale(self) -> list[tuple[Any, Any]]:
        one = self.object
        return [
            (_("Replicas"), _now("%(a)s to %(b)s") % {"a": one.min_replicas, "b": one.max_replicas}),
            (_("Wanted now"), one.wanted),
            (_("Hardware"), one.revision.hardware.name if one.revision else None),
            (_("Failed launches in a row"), one.failures or None),
        ]
