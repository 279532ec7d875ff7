"""What a launch would cost, and where the team could spend less, in the Console."""

from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.errors import NoPrice
from apps.billing.selectors import advice, estimates, prices
from apps.billing.selectors.advice import Advice, AdviceKind
from apps.billing.selectors.estimates import Estimate
from apps.billing.specs import HOURS_PER_MONTH, Rate
from apps.core.ids import new_id
from apps.core.money import ZERO, plain
from apps.core.permissions import Permission
from apps.panels.kit import Column, Empty, FormPage, InlineForm, Kpi, Kpis, Link, Note, Page, Table, cells
from apps.panels.kit.forms import dress
from apps.panels.money import product_name

TIMED = ("type:", "gpu:", "slot:", "engine:", "disk", "ip")
WORDS: dict[str, Any] = {
    AdviceKind.SPOT: (_("Run it on spot"), _("the same machine, cheaper, may be taken back")),
    AdviceKind.COMMITMENT: (_("Reserve it"), _("it ran around the clock every day")),
    AdviceKind.STOPPED_DISK: (_("Delete or snapshot it"), _("only its disk was paid for")),
    AdviceKind.SCALE_TO_ZERO: (_("Let it scale to zero"), _("days without a single request")),
    AdviceKind.IDLE: (_("Stop it"), _("it does nothing")),
    AdviceKind.TOO_LARGE: (_("Take a smaller one"), _("it needs less than it has")),
}
PEAKS: dict[str, Any] = {
    "cpu": _("processors %(most)s\u00a0%%"),
    "memory": _("memory %(most)s\u00a0%%"),
    "gpu": _("GPUs %(most)s\u00a0%%"),
    "gpu_memory": _("GPU memory %(most)s\u00a0%%"),
}


class EstimateFields(forms.Form):
    product = forms.ChoiceField(label=_("What"))
    quantity = forms.DecimalField(
        label=_("How many"),
        min_value=Decimal("0.001"),
        max_value=Decimal(100_000),
        decimal_places=3,
        initial=1,
    )
    hours = forms.DecimalField(
        label=_("Hours a month"),
        min_value=ZERO,
        max_value=Decimal(744),
        decimal_places=3,
        initial=HOURS_PER_MONTH,
    )


class EstimateForm(FormPage):
    """Leads back to the page of costs, which shows the estimate: it has an address of its own."""

    panel = "console"
    permission = Permission.PRICE_READ
    title = _("Estimate a cost")
    form_class = EstimateFields
    submit = _("Estimate")

    def form(self, data: Any = None) -> forms.Form:
        return estimate_form(self.team.currency if self.team else "", data)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Costs")), self.url("cost"))]

    def save(self, data: dict[str, Any]) -> str:
        asked = {name: plain(value) if isinstance(value, Decimal) else value for name, value in data.items()}
        return f"{self.url('cost')}?{urlencode(asked)}"


def estimate_form(currency: str, data: Any = None) -> forms.Form:
    """The form, with everything that is sold by time."""
    form = EstimateFields(data)
    sold = prices.price_list(currency=currency, at=timezone.now()).values_list("product", flat=True)
    field: Any = form.fields["product"]
    field.choices = [(one, product_name(one)) for one in sold if one.startswith(TIMED)]
    return dress(form)


class Cost(Page):
    panel = "console"
    permission = Permission.PRICE_READ
    title = _("Costs")
    intro = _("What something would cost before it runs, and what could cost less.")
    links: ClassVar = (Link(_("Prices"), "prices", Permission.PRICE_READ, icon="tag", primary=False),)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Billing")), self.url("billing"))]

    @cached_property
    def found(self) -> list[Advice]:
        return advice.advise(self.actor, team_id=self.team.pk, now=timezone.now())

    @cached_property
    def estimate(self) -> Estimate | None:
        """What the address asks for; None when it asks for nothing, or for what is not sold."""
        asked = EstimateFields(self.request.GET)
        choices: Any = asked.fields["product"]
        product = self.request.GET.get("product", "")
        choices.choices = [(product, product)]
        if not product or not asked.is_valid():
            return None
        rates = [Rate(product, asked.cleaned_data["quantity"])]
        try:
            return estimates.estimate(
                rates, team_id=self.team.pk, at=timezone.now(), hours=asked.cleaned_data["hours"]
            )
        except NoPrice:
            return None

    def top(self) -> list[Any]:
        items = [
            Kpi(
                _("Could be saved"),
                cells.money(advice.possible(self.found), self.team.currency),
                _("a month"),
                self._basis(),
            ),
        ]
        if self.estimate is not None:
            found = self.estimate
            hours = _now("%(n)s hours") % {"n": plain(found.hours)}
            items += [
                Kpi(_("Estimate"), cells.money(found.monthly, found.currency), _("a month"), hours),
                Kpi(_("Per hour"), cells.price(found.hourly, found.currency)),
                Kpi(_("Per day"), cells.price(found.daily, found.currency)),
            ]
        return [Kpis(items)]

    def _basis(self) -> str:
        return _now("from the last %(n)s days") % {"n": advice.DAYS}

    def main(self) -> list[Any]:
        blocks: list[Any] = [self._lines(self.estimate)] if self.estimate is not None else []
        if self.estimate is None and self.request.GET.get("product"):
            blocks.append(Note(_now("This is not sold, or the numbers make no sense."), "warn"))
        blocks.append(self._advice())
        chosen = self.request.GET.get("because", "")
        return blocks + [self._because(one) for one in self.found if f"{one.kind}:{one.subject}" == chosen]

    def aside(self) -> list[Any]:
        form = estimate_form(self.team.currency, self.request.GET if self.estimate else None)
        return [
            InlineForm(
                _("Estimate a cost"),
                form,
                self.url("estimate"),
                _("Estimate"),
                new_id("form"),
                _("At today's prices. Nothing is made or held."),
            )
        ]

    def _lines(self, found: Estimate) -> Table:
        currency = found.currency
        columns = (
            Column("product", _("Product"), lambda line: product_name(line.product), main=True),
            Column("quantity", _("Units"), lambda line: plain(line.quantity), num=True),
            Column("price", _("Unit price"), lambda line: cells.price(line.unit_price, currency), num=True),
            Column(
                "spot",
                _("On spot, per hour"),
                lambda line: cells.price(line.spot_hourly, currency) if line.spot_hourly else cells.NONE,
                num=True,
                priority=2,
            ),
            Column("month", _("A month"), lambda line: cells.money(line.monthly, currency), num=True),
        )
        return Table(_("Estimate"), columns, found.lines)

    def _advice(self) -> Table:
        columns = (
            Column("what", _("Advice"), self._what, main=True, wrap=True),
            Column("days", _("Days"), num=True, priority=2),
            Column(
                "saving",
                _("Saves a month"),
                lambda one: cells.money(one.saving, self.team.currency),
                num=True,
            ),
        )
        empty = Empty(
            _("Nothing to save"),
            _(
                "Idle endpoints and machines, forgotten disks and cheaper ways to run would stand here."
                " A machine must have been measured for a day, for three to be called too large."
            ),
            icon="coins",
        )
        return Table(_("Advice"), columns, self.found, empty)

    def _what(self, one: Advice) -> Any:
        """What to do, leading to the usage it rests on; with what, and why."""
        asked = urlencode({"because": f"{one.kind}:{one.subject}"})
        what, why = _words(one)
        name = product_name(one.name)
        return cells.two_lines(cells.link(what, f"{self.url('cost')}?{asked}"), f"{name}: {why}")

    def _because(self, one: Advice) -> Table:
        currency = self.team.currency
        columns = (
            Column("day", _("Day (UTC)"), lambda row: f"{row.day:%Y-%m-%d}", main=True, mono=True),
            Column("resource", _("Resource"), lambda row: cells.mono(row.resource_id), priority=2),
            Column(
                "hours", _("Unit hours"), lambda row: cells.number(row.unit_hours, 2), num=True, priority=2
            ),
            Column("amount", _("Cost"), lambda row: cells.money(row.amount, currency, 4), num=True),
            Column("instead", _("Instead"), lambda row: cells.money(row.instead, currency, 4), num=True),
        )
        return Table(_("The usage it rests on"), columns, one.rows)


def _words(one: Advice) -> tuple[Any, Any]:
    """What to do, and why: of measured things, what was used of them at most."""
    what, why = WORDS[one.kind]
    if one.instead:
        what = _now("Take %(product)s instead") % {"product": product_name(one.instead)}
    if one.measured_hours is not None:
        most = ", ".join(str(PEAKS[name]) % {"most": plain(value)} for name, value in one.peaks.items())
        why = _now("at most in %(hours)s h: %(most)s") % {"hours": plain(one.measured_hours), "most": most}
    return what, why
