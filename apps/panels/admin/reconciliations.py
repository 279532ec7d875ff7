"""The payment providers' books beside ours, in the Admin panel."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.panels.admin.payments import OfPayments
from apps.panels.kit import (
    Column,
    Detail,
    Empty,
    FormPage,
    Kpi,
    Kpis,
    Resource,
    Section,
    Table,
    cells,
    moment,
)
from apps.payments import services
from apps.payments.models import Reconciliation
from apps.payments.selectors import providers, rows

P = Permission


class ReconciliationList(OfPayments, Resource):
    permission = P.BILLING_READ
    title = _("Provider's books")
    intro = _("Every movement of the provider's balance against the ledger, several times a day.")
    model = Reconciliation
    live = "payment."
    order = "-done"
    empty = Empty(_("No comparison yet"), _("They begin once Stripe is set up."), icon="scale")
    columns = (
        Column("until", _("Up to"), lambda one: f"{one.until:%Y-%m-%d}", sort="until", main=True,
               to="reconciliation", text=lambda one: one.until.isoformat()),
        Column("provider", _("Provider"), lambda one: one.get_provider_display(), priority=2),
        Column("checked", _("Compared"), num=True),
        Column("booked", _("Fees booked"), num=True, priority=2),
        Column("differences", _("Differences"), lambda one: len(one.differences), num=True,
               text=lambda one: len(one.differences)),
        moment("done", _("Done"), "created_at", priority=3),
    )  # fmt: skip

    def rows(self) -> QuerySet[Any]:
        return rows.reconciliations(self.actor)

    def context(self) -> dict[str, Any]:
        found = super().context()
        missing = [one for one in providers.ways() if one.missing]
        note = "; ".join(f"{one.provider.label}: {one.missing}" for one in missing)
        return {**found, "intro": f"{self.intro} {note}"} if note else found


class ReconciliationPage(OfPayments, Detail):
    permission = P.BILLING_READ
    model = Reconciliation

    def rows(self) -> QuerySet[Any]:
        return rows.reconciliations(self.actor)

    def crumbs(self) -> list[tuple[str, str]]:
        return [*super().crumbs(), (str(_("Provider's books")), self.url("reconciliations"))]

    def main_overview(self) -> list[Any]:
        one, known = self.object, rows.explained(self.object.provider)
        columns = (
            Column("kind", _("Kind"), lambda row: row["kind"], main=True),
            Column("about", _("About"), lambda row: cells.mono(row["source"]), priority=2),
            Column("provider", _("The provider says"), lambda row: row["provider"] or cells.NONE, num=True),
            Column("ledger", _("We have booked"), lambda row: row["ledger"] or cells.NONE, num=True),
            Column("why", _("Why"), lambda row: self._why(row, known)),
        )
        empty = Empty(_("Everything agrees"), icon="circle-check")
        left = [row for row in one.differences if (row["kind"], row["source"]) not in known]
        figures = [
            Kpi(_("Compared"), one.checked),
            Kpi(_("Matched"), max(one.checked - len(one.differences), 0)),
            Kpi(_("Differences"), len(one.differences)),
            Kpi(_("To be explained"), len(left)),
        ]
        return [Kpis(figures), Table(_("Differences"), columns, one.differences, empty)]

    def _why(self, row: dict[str, str], known: dict[tuple[str, str], Any]) -> Any:
        said = known.get((row["kind"], row["source"]))
        if said is not None:
            return cells.two_lines(said.note, said.created_by)
        if not self.can(P.WALLET_CREDIT):
            return cells.NONE
        asked = urlencode({"kind": row["kind"], "source": row["source"]})
        return cells.link(_now("explain"), f"{self.url('explain', pk=self.pk)}?{asked}")


class ExplainFields(forms.Form):
    kind = forms.CharField(widget=forms.HiddenInput, max_length=20)
    source = forms.CharField(widget=forms.HiddenInput, max_length=120)
    note = forms.CharField(label=_("Why it differs"), max_length=300)


class Explain(OfPayments, FormPage):
    permission = P.WALLET_CREDIT
    title = _("Explain a difference")
    form_class = ExplainFields
    submit = _("Keep it")
    done = _("It alarms nobody any more.")
    sections = (
        Section(
            _("What was found out"),
            _("Nothing is booked by this; it stays with your name."),
            ("kind", "source", "note"),
        ),
    )

    def initial(self) -> dict[str, Any]:
        return {name: self.request.GET.get(name, "") for name in ("kind", "source")}

    def save(self, data: dict[str, Any]) -> str:
        found = rows.find_reconciliation(self.actor, self.pk)
        services.explain(actor=self.actor, reconciliation=found, **data)
        return self.url("reconciliation", pk=self.pk)
