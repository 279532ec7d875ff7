"""The payment providers' books beside ours, in the Admin panel."""

from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.money import minor_digits
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
from apps.panels.money import signed
from apps.payments import services
from apps.payments.models import Reconciliation
from apps.payments.selectors import providers, rows
from apps.payments.selectors.rows import Explained

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

    def heading(self) -> Any:
        return f"{self.object.get_provider_display()}, {self.object.until:%Y-%m-%d}"

    def meta(self) -> list[Any]:
        one = self.object
        return [cells.exact(one.since), cells.exact(one.until)]

    def main_overview(self) -> list[Any]:
        one, known = self.object, Explained(self.object.provider)
        columns = (
            Column("kind", _("Kind"), lambda row: kind_of(row["kind"]), main=True),
            Column("about", _("About"), lambda row: cells.mono(row["source"]), priority=3),
            Column("provider", _("The provider says"), lambda row: told(row["provider"]), num=True),
            Column("ledger", _("We have booked"), lambda row: told(row["ledger"]), num=True),
            Column("gap", _("Difference"), lambda row: gap(row), num=True, priority=2),
            Column("why", _("Why"), lambda row: self._why(row, known), wrap=True),
        )
        empty = Empty(_("Everything agrees"), icon="circle-check")
        left = known.without(one.differences)
        figures = [
            Kpi(_("Compared"), one.checked),
            Kpi(_("Matched"), one.checked - sum(bool(row["line"]) for row in one.differences)),
            Kpi(_("Differences"), len(one.differences)),
            Kpi(_("To be explained"), len(left)),
        ]
        return [Kpis(figures), Table(_("Differences"), columns, one.differences, empty)]

    def _why(self, row: dict[str, str], known: Explained) -> Any:
        said = known.of(row)
        if said is not None:
            return cells.two_lines(said.note, said.created_by)
        if not self.can(P.WALLET_CREDIT):
            return cells.NONE
        asked = urlencode({"kind": row["kind"], "source": row["source"]})
        return cells.link(_now("Explain"), f"{self.url('explain', pk=self.pk)}?{asked}")


KINDS: dict[str, Any] = {
    "payment": _("Payment"),
    "refund": _("Refund"),
    "refund_failed": _("Failed refund"),
    "dispute": _("Dispute"),
    "dispute_won": _("Won dispute"),
}


def kind_of(kind: str) -> Any:
    return KINDS.get(kind, kind)


def told(text: str) -> str:
    """One side of a difference, kept as an amount and a currency; empty when it knows nothing of it."""
    amount, _blank, currency = text.partition(" ")
    return cells.money(Decimal(amount), currency, minor_digits(currency)) if text else _now("nothing")


def gap(row: dict[str, str]) -> Any:
    """What the provider has more than we; only within one currency."""
    sides = [text.partition(" ") for text in (row["provider"], row["ledger"]) if text]
    currencies = {currency for _amount, _blank, currency in sides}
    if len(currencies) != 1:
        return cells.NONE
    currency = currencies.pop()
    says, booked = (Decimal(row[name].partition(" ")[0] or 0) for name in ("provider", "ledger"))
    return signed(says - booked, currency, minor_digits(currency))


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

    @cached_property
    def compared(self) -> Reconciliation:
        return rows.find_reconciliation(self.actor, self.pk)

    def crumbs(self) -> list[tuple[str, str]]:
        there = f"{self.compared.get_provider_display()}, {self.compared.until:%Y-%m-%d}"
        books = (str(_("Provider's books")), self.url("reconciliations"))
        return [*super().crumbs(), books, (there, self.url("reconciliation", pk=self.pk))]

    @property
    def sections(self) -> Any:  # type: ignore[override]
        asked = self.initial() | self.request.POST.dict()
        found = [
            row
            for row in self.compared.differences
            if (row["kind"], row["source"]) == (asked["kind"], asked["source"])
        ]
        text = _now("Nothing is booked by this; it stays with your name.")
        return (Section(_("What was found out"), text, ("kind", "source", "note"), note=_said(found)),)

    def initial(self) -> dict[str, Any]:
        return {name: self.request.GET.get(name, "") for name in ("kind", "source")}

    def save(self, data: dict[str, Any]) -> str:
        services.explain(actor=self.actor, reconciliation=self.compared, **data)
        return self.url("reconciliation", pk=self.pk)


def _said(found: list[dict[str, str]]) -> str:
    """The difference in a sentence, beside the form that explains it."""
    text = _now("%(kind)s %(source)s: the provider says %(provider)s, we have booked %(ledger)s.")
    sentences = [
        text
        % {
            "kind": kind_of(row["kind"]),
            "source": row["source"],
            "provider": told(row["provider"]),
            "ledger": told(row["ledger"]),
        }
        for row in found
    ]
    return " ".join(sentences) or _now("There is no such difference.")
