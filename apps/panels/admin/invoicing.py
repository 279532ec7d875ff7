"""Making invoices in the Admin panel: runs, companies, tax rates."""

from functools import cached_property
from typing import Any, ClassVar

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.invoicing import services
from apps.invoicing.models import InvoiceRun, LegalEntity, TaxRate
from apps.invoicing.selectors import invoices, parties
from apps.invoicing.services.parties import EntityWish, TaxWish
from apps.invoicing.specs import Period
from apps.invoicing.states import InvoiceState, RunState
from apps.panels import invoices as shown
from apps.panels.admin.invoices import OfInvoices
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    Facts,
    Filter,
    FormPage,
    Kpi,
    Kpis,
    Link,
    Note,
    Resource,
    Section,
    Step,
    Steps,
    Table,
    cells,
    moment,
)

P = Permission


def _progress(run: Any) -> Any:
    total = run.invoices_made + run.drafts
    return cells.made(run.invoices_made, total) if total else cells.NONE


class RunList(OfInvoices, Resource):
    permission = P.BILLING_READ
    title = _("Invoice runs")
    intro = _("A month's invoices. A run begins by itself when a month is over, and is final an hour later.")
    model = InvoiceRun
    live = "invoice."
    order = "-month"
    filters = (Filter("state", _("State"), RunState.choices),)
    links = (Link(_("Begin a month"), "invoice-run-new", P.BILLING_MANAGE, icon="plus"),)
    empty = Empty(_("No run yet"), _("The first one comes when a month is over."), icon="list-checks")
    columns = (
        Column("month", _("Month"), lambda one: shown.month(one.period_start), sort="period_end", main=True,
               to="invoice-run", text=lambda one: shown.month(one.period_start)),
        Column("state", _("State"), shown.state_of, text=lambda one: one.state),
        Column("progress", _("Invoices"), _progress, num=True, text=lambda one: one.invoices_made),
        Column("parked", _("Parked"), num=True, priority=2),
        moment("finished", _("Finished"), "finished_at", sort=(), priority=3),
    )  # fmt: skip

    def rows(self) -> QuerySet[Any]:
        return invoices.runs(self.actor)


RESUME = Action(
    "resume",
    _("Resume"),
    P.BILLING_MANAGE,
    lambda view, run: services.resume_run(actor=view.actor, run_id=str(run.pk)) and None,
    icon="rotate-cw",
    when=lambda run: run.state != RunState.DONE and run.parked > 0,
    done=_("What could not be made is tried again in a moment."),
)


class RunPage(OfInvoices, Detail):
    permission = P.BILLING_READ
    model = InvoiceRun
    live = "invoice."
    actions = (RESUME,)
    links = (Link(_("FOCUS"), "invoice-run-focus", P.BILLING_READ, icon="download", primary=False),)

    def rows(self) -> QuerySet[Any]:
        return invoices.runs(self.actor)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Invoice runs")), self.url("invoice-runs"))]

    def status(self) -> Any:
        return cells.tag(self.object.get_state_display())

    def top(self) -> list[Any]:
        run = self.object
        total = run.invoices_made + run.drafts
        share = run.invoices_made / total if total else None
        parked = _now("%(n)s invoices wait until somebody has looked.") % {"n": run.parked}
        figures = [
            Kpi(_("Final"), run.invoices_made, unit=_now("of %(n)s") % {"n": total}, share=share),
            Kpi(_("Drafts"), run.drafts),
            Kpi(_("Parked"), run.parked),
            Kpi(_("Billed"), self._billed(), note=_("tax included")),
        ]
        return [*([Note(parked, "bad")] if run.parked else []), Kpis(figures)]

    def main_overview(self) -> list[Any]:
        rows = invoices.invoices(self.actor).filter(run=self.object).order_by("-total")
        parked = [one for one in rows.exclude(parked_because="")[:100] if one.state == InvoiceState.DRAFT]
        team = Column("team", _("Team"), lambda one: one.team.name)
        columns = (*shown.INVOICE_COLUMNS[:1], team, *shown.INVOICE_COLUMNS[2:5])
        found = rows.filter(parked_because="")[:100]
        table = Table(_("Invoices"), columns, list(found), view=self, sub=_now("the 100 largest"))
        return [self._steps(), *self._failures(parked), table]

    def _billed(self) -> Any:
        sums = [cells.money(one.total, one.currency) for one in invoices.billed(self.object)]
        return " + ".join(sums) or cells.NONE

    def _steps(self) -> Steps:
        """Drafts, the hour in which usage may still arrive, invoices."""
        run = self.object
        total = run.invoices_made + run.drafts
        states = {RunState.WAITING: ("running", "pending"), RunState.RUNNING: ("done", "running"),
                  RunState.DONE: ("done", "done")}  # fmt: skip
        grace, final = states[RunState(run.state)]
        until = _now("usage may arrive until %(at)s") % {"at": f"{run.finalize_at:%Y-%m-%d %H:%M} UTC"}
        made = _now("%(made)s of %(total)s") % {"made": run.invoices_made, "total": total}
        steps = [
            Step(_("Drafts"), "done", detail=_now("%(n)s teams used something") % {"n": total}),
            Step(_("Grace period"), grace, detail=until),
            Step(
                _("Invoices with numbers"),
                "failed" if run.parked and not run.drafts - run.parked else final,
                detail=made,
            ),
        ]
        share = round(100 * run.invoices_made / total) if total else None
        return Steps(_("Progress"), steps, progress=share if final == "running" else None)

    def _failures(self, parked: list[Any]) -> list[Table]:
        if not parked:
            return []
        columns = (
            Column(
                "team",
                _("Team"),
                lambda one: cells.link(one.team.name, self.url("invoice", pk=one.pk)),
                main=True,
            ),
            Column("why", _("Why"), lambda one: one.parked_because),
        )
        return [Table(_("Could not be made"), columns, parked, sub=_now("put it right, then resume the run"))]

    def aside_overview(self) -> list[Any]:
        run = self.object
        operation = run.operation_id
        timeline = cells.link(_now("Timeline"), self.url("operation", pk=operation)) if operation else None
        return [
            Facts(
                _("Details"),
                [
                    (_("Period"), f"{run.period_start:%Y-%m-%d} – {run.period_end:%Y-%m-%d}"),
                    (_("Final from"), cells.exact(run.finalize_at)),
                    (_("Asked by"), run.created_by),
                    (_("Operation"), timeline),
                ],
            )
        ]


class RunFocus(OfInvoices, shown.InvoiceFile):
    title = _("FOCUS")
    kind = "focus"

    def document(self) -> invoices.Document:
        run = invoices.find_run(self.actor, self.pk)
        return invoices.export(self.actor, period=Period(run.period_start, run.period_end))


class RunFields(forms.Form):
    month = forms.RegexField(
        r"^20[0-9]{2}-(0[1-9]|1[0-2])$", label=_("Month"), help_text=_("One that is over, such as 2026-03.")
    )


class RunNew(OfInvoices, FormPage):
    permission = P.BILLING_MANAGE
    title = _("Begin a month's invoices")
    form_class = RunFields
    submit = _("Begin")
    done = _("The drafts are made.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Invoice runs")), self.url("invoice-runs"))]

    def save(self, data: dict[str, Any]) -> str:
        year, _dash, month = data["month"].partition("-")
        run = services.open_run(actor=self.actor, period=Period.month(int(year), int(month)))
        return self.url("invoice-run", pk=run.pk)


# ------------------------------------------------------------ companies and tax


class CompanyList(OfInvoices, Resource):
    permission = P.BILLING_READ
    title = _("Companies")
    intro = _("Who issues invoices: the company of the team's currency, or else the default one.")
    model = LegalEntity
    order = "name"
    search = ("name", "number_prefix")
    search_hint = _("Search by name")
    links = (Link(_("Add company"), "company-new", P.PRICE_MANAGE, icon="plus"),)
    empty = Empty(_("No company yet"), _("Without one no invoice is issued."),
                  Link(_("Add company"), "company-new", P.PRICE_MANAGE), icon="building-2")  # fmt: skip
    columns = (
        Column("name", _("Name"), sort="name", main=True, to="company"),
        Column("country", _("Country"), mono=True),
        Column("currency", _("Currency"), mono=True),
        Column("number_prefix", _("Numbers"), mono=True, priority=2),
        Column(
            "default",
            _("Default"),
            lambda one: cells.yes_no(one.is_default),
            text=lambda one: one.is_default,
        ),
    )

    def rows(self) -> QuerySet[Any]:
        return parties.entities(self.actor)


class CompanyFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=120)
    street = forms.CharField(label=_("Street"), max_length=120, required=False)
    postal_code = forms.CharField(label=_("Postal code"), max_length=20, required=False)
    city = forms.CharField(label=_("City"), max_length=80, required=False)
    country = forms.CharField(label=_("Country"), max_length=2, help_text=_("Two letters, such as DE."))
    tax_id = forms.CharField(label=_("Tax number"), max_length=40, required=False)
    registration = forms.CharField(label=_("Registration"), max_length=120, required=False)
    email = forms.EmailField(label=_("E-mail"), required=False)
    currency = forms.RegexField(r"^[A-Z]{3}$", label=_("Currency"), initial="EUR")
    number_prefix = forms.SlugField(
        label=_("Number prefix"), max_length=12, help_text=_("It stays for good.")
    )
    payment_days = forms.IntegerField(label=_("Days to pay"), min_value=0, max_value=365, initial=14)
    bank_details = forms.CharField(
        label=_("Bank details"), max_length=400, required=False, widget=forms.Textarea,
        help_text=_("Printed on invoices; with them customers can pay by transfer."),
    )  # fmt: skip
    is_default = forms.BooleanField(label=_("Bills what no other company bills"), required=False)


class CompanyNew(OfInvoices, FormPage):
    permission = P.PRICE_MANAGE
    title = _("Company")
    form_class = CompanyFields
    submit = _("Save company")
    done = _("Saved for future invoices.")
    sections: ClassVar = (
        Section(_("Who"), _("As it is printed on invoices."),
                ("name", "street", "postal_code", "city", "country", "tax_id", "registration", "email")),
        Section(_("Invoices"), "",
                ("currency", "number_prefix", "payment_days", "bank_details", "is_default")),
    )  # fmt: skip

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Companies")), self.url("companies"))]

    def save(self, data: dict[str, Any]) -> str:
        services.create_entity(actor=self.actor, wish=EntityWish(**data))
        return self.url("companies")


class CompanyEdit(CompanyNew):
    permission = P.PRICE_MANAGE

    @cached_property
    def entity(self) -> LegalEntity:
        return parties.find_entity(self.actor, self.pk)

    def initial(self) -> dict[str, Any]:
        return {name: getattr(self.entity, name) for name in CompanyFields.base_fields}

    def save(self, data: dict[str, Any]) -> str:
        services.update_entity(actor=self.actor, entity=self.entity, wish=EntityWish(**data))
        return self.url("companies")


class TaxList(OfInvoices, Resource):
    permission = P.BILLING_READ
    title = _("Tax rates")
    intro = _("A later rate of the same country and category replaces the one before; nothing is changed.")
    model = TaxRate
    order = "country"
    search = ("country", "name")
    search_hint = _("Search by country")
    links = (Link(_("Add rate"), "tax-rate-new", P.PRICE_MANAGE, icon="plus"),)
    empty = Empty(_("No rate yet"), _("Without rates no tax is charged."),
                  Link(_("Add rate"), "tax-rate-new", P.PRICE_MANAGE), icon="scale")  # fmt: skip
    columns = (
        Column("country", _("Country"), sort="country", main=True),
        Column("name", _("Name")),
        Column("rate", _("Rate"), lambda one: f"{one.rate * 100:.3f} %", sort="rate", num=True,
               text=lambda one: one.rate),
        Column("category", _("Category"), lambda one: one.category or cells.muted(_now("all")), priority=2),
        Column("valid_from", _("From"), lambda one: f"{one.valid_from:%Y-%m-%d}", sort="valid_from",
               mono=True),
        Column("inclusive", _("Included in prices"), lambda one: cells.yes_no(one.is_inclusive), priority=3,
               text=lambda one: one.is_inclusive),
        Column("reverse", _("Reverse charge"), lambda one: cells.yes_no(one.reverse_charge), priority=3,
               text=lambda one: one.reverse_charge),
    )  # fmt: skip

    def rows(self) -> QuerySet[Any]:
        return parties.tax_rates(self.actor)


class TaxFields(forms.Form):
    country = forms.CharField(label=_("Country"), max_length=2, help_text=_("Two letters, such as DE."))
    name = forms.CharField(label=_("Name"), max_length=40, initial="VAT")
    percent = forms.DecimalField(label=_("Per cent"), min_value=0, max_digits=7, decimal_places=4)
    valid_from = forms.DateField(label=_("From"), widget=forms.DateInput(attrs={"type": "date"}))
    category = forms.CharField(
        label=_("Products that begin with"), max_length=40, required=False, help_text=_("Empty: all.")
    )
    is_inclusive = forms.BooleanField(label=_("Prices include it"), required=False)
    reverse_charge = forms.BooleanField(
        label=_("Businesses abroad account for it themselves"), required=False, initial=True
    )


class TaxNew(OfInvoices, FormPage):
    permission = P.PRICE_MANAGE
    title = _("Add tax rate")
    form_class = TaxFields
    submit = _("Add rate")
    done = _("The rate is there.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Tax rates")), self.url("tax-rates"))]

    def save(self, data: dict[str, Any]) -> str:
        rate = data.pop("percent") / 100
        if rate >= 1:
            raise Invalid(_now("A rate is less than a hundred per cent."), field="percent")
        services.add_tax_rate(actor=self.actor, wish=TaxWish(rate=rate, **data))
        return self.url("tax-rates")
