"""Invoices reckoned outside the product, in the spreadsheet beside this: the product finds the same."""

import csv
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from apps.billing.models import PriceVersion, TokenRequest
from apps.billing.services import charging, fees, tokens, wallets
from apps.billing.services.fees import NewCommitment, NewFee
from apps.billing.specs import Rate, TokenPrices, TokenTerms, TokenUsage
from apps.billing.states import FeePeriod
from apps.core.actor import SYSTEM
from apps.core.clock import microseconds_of
from apps.core.ids import new_id
from apps.invoicing.specs import GRACE, Period
from apps.teams.models import Workspace
from tests.factories.billing import make_team, resource, wallet_of
from tests.factories.invoicing import close, invoice_of, make_entity, make_profile, make_tax

pytestmark = pytest.mark.django_db
GOLDEN = Path(__file__).parent / "golden"
D = Decimal
Row = dict[str, str]


def table(name: str) -> dict[str, list[Row]]:
    """The rows of a sheet by case."""
    found: dict[str, list[Row]] = defaultdict(list)
    with (GOLDEN / f"{name}.csv").open() as sheet:
        for row in csv.DictReader(sheet):
            found[row["case"]].append(row)
    return found


CASES = {case: rows[0] for case, rows in table("cases").items()}
TAXES, PRICES, USAGE = table("taxes"), table("prices"), table("usage")
EXPECTED, LINES, AGREEMENTS = table("expected"), table("lines"), table("agreements")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_there_are_forty_of_them():
    assert len(CASES) >= 40
    assert set(CASES) == set(EXPECTED) == set(LINES)


@pytest.mark.parametrize("case", sorted(CASES))
def test_the_invoice_is_the_one_of_the_sheet(case):
    sheet, [wanted] = CASES[case], EXPECTED[case]
    team = prepare(sheet)
    versions = {row["product"]: price(sheet["currency"], row) for row in PRICES[case]}
    for row in AGREEMENTS[case]:
        agree(team, row)
    use(team, case, versions)
    year, _dash, month = sheet["month"].partition("-")
    period = Period.month(int(year), int(month))
    fees.charge_due(now=period.end + timedelta(minutes=30))
    close(period, now=period.end + GRACE + timedelta(minutes=1))
    invoice = invoice_of(team)
    shown = (invoice.subtotal, invoice.discount, invoice.tax, invoice.total)
    assert shown == tuple(D(wanted[name]) for name in ("subtotal", "discount", "tax", "total"))
    assert invoice.due_receivable + invoice.due_balance == D(wanted["due"])
    assert wallet_of(team).balance == D(wanted["balance_after"])
    assert lines_of(invoice) == [as_line(row) for row in LINES[case]]


def lines_of(invoice: Any) -> list[Any]:
    kinds = ("usage", "prior_period", "fee")
    return [
        (
            line.kind == "prior_period", line.workspace, line.product, line.unit, line.quantity,
            line.unit_price, line.exact, line.amount,
        )
        for line in invoice.lines.filter(kind__in=kinds).order_by("position")
    ]  # fmt: skip


def as_line(row: Row) -> Any:
    numbers = (D(row[name]) for name in ("quantity", "unit_price", "exact", "amount"))
    return (bool(row["late"]), row["workspace"], row["product"], row["unit"], *numbers)


def prepare(sheet: Row) -> Any:
    """The company, the customer and its money."""
    make_entity(country=sheet["seller"], currency=sheet["currency"])
    for row in TAXES[sheet["case"]]:
        make_tax(
            row["country"], row["rate"], category=row["category"],
            is_inclusive=row["is_inclusive"] == "1", reverse_charge=row["reverse_charge"] == "1",
        )  # fmt: skip
    team = make_team(sheet["purchased"], currency=sheet["currency"])
    make_profile(team, sheet["buyer"], tax_id=sheet["tax_id"])
    if D(sheet["granted"]):
        wallets.grant_credit(actor=SYSTEM, team=team, amount=D(sheet["granted"]), reason="welcome")
    wallets.set_credit_limit(actor=SYSTEM, team=team, amount=D(sheet["credit_limit"]))
    return team


def agree(team: Any, row: Row) -> None:
    """A fee or commitment that the sheet names."""
    until = date.fromisoformat(row["until"]) if row["until"] else None
    what = {"name": row["name"], "amount": D(row["amount"]), "starts_on": date.fromisoformat(row["from"])}
    if row["kind"] == "fee":
        new = NewFee(period=FeePeriod.MONTH, included=D(row["included"]), ends_on=until, **what)
        fees.add_fee(actor=SYSTEM, team=team, new=new)
    else:
        promise = NewCommitment(products=row["products"], ends_on=until, **what)
        fees.add_commitment(actor=SYSTEM, team=team, new=promise)


def price(currency: str, row: Row) -> PriceVersion:
    """The chain of a product's versions, in the order of the sheet."""
    last = PriceVersion.objects.filter(product=row["product"]).order_by("-valid_from").first()
    return PriceVersion.objects.create(
        product=row["product"],
        currency=currency,
        unit_price=D(row["price"]),
        valid_from=moment(row["from"]),
        valid_until=moment(row["until"]) if row["until"] else None,
        previous_until=last.valid_until if last else None,
        created_by="sheet",
    )


def use(team: Any, case: str, versions: dict[str, PriceVersion]) -> None:
    """What the sheet says was used, through the meters and the gateway's books."""
    counted: dict[str, Row] = {}
    for row in USAGE[case]:
        if row["product"].startswith("tokens:"):
            counted[row["product"].rpartition(":")[2]] = row
            continue
        machine, start = resource(), moment(row["from"])
        charging.begin(
            team_id=team.pk,
            workspace_id=workspace(team, row["workspace"]).pk,
            resource_id=machine,
            resource_name=row["product"],
            region_id=None,
            kind="instance",
            rates=(Rate(row["product"], D(row["quantity"])),),
            now=start,
        )
        charging.end(resource_id=machine, now=moment(row["until"]))
    if counted:
        settle(team, counted, versions)


def settle(team: Any, counted: dict[str, Row], versions: dict[str, PriceVersion]) -> None:
    kinds = ("input", "cached", "output", "embedding")
    counts = [int(counted[kind]["quantity"]) if kind in counted else 0 for kind in kinds]
    found = [versions.get(f"tokens:tiny:{kind}") for kind in kinds]
    amounts = [
        (one.unit_price * count / 1_000_000).quantize(D("1e-12")) if one else D(0)
        for one, count in zip(found, counts, strict=True)
    ]
    at = moment(counted["input"]["from"])
    unit = [one.unit_price if one else D(0) for one in found]
    prices = TokenPrices(team.currency, *unit, tuple(one.pk if one else None for one in found))
    terms = TokenTerms(
        team_id=team.pk, workspace_id=workspace(team, "default").pk, key_id=None, slug="tiny",
        prices=prices, endpoint_id=new_id("end"),
    )  # fmt: skip
    when = microseconds_of(at)
    usage = TokenUsage(terms, uuid4().bytes, *counts, when, when, "stop", False)
    assert tokens.settle([usage]).counted == 1
    request = TokenRequest.objects.get(request_id=UUID(bytes=usage.request_id))
    assert [getattr(request, f"{kind}_amount") for kind in kinds] == amounts


def workspace(team: Any, name: str) -> Workspace:
    made, _new = Workspace.objects.get_or_create(team=team, slug=name, defaults={"name": name})
    return made
