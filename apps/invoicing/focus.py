"""FOCUS 1.2: invoices in the columns that tools for cloud costs read. Pure; every amount stays exact.

The sum of `BilledCost` over an invoice's rows is its total.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from apps.core.money import ZERO, plain
from apps.invoicing.states import LineKind

COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency",
    "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription",
    "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit",
    "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost",
    "ListUnitPrice", "PricingCategory", "PricingCurrency", "PricingQuantity", "PricingUnit", "ProviderName",
    "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType",
    "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuPriceId", "SubAccountId",
    "SubAccountName", "SubAccountType",
)  # fmt: skip

_CATEGORY = {
    LineKind.USAGE: "Usage",
    LineKind.PRIOR_PERIOD: "Usage",
    LineKind.FEE: "Purchase",
    LineKind.PROMOTION: "Credit",
    LineKind.TAX: "Tax",
}
_SERVICES = (
    ("tokens:", "AI and Machine Learning", "Generative AI", "Inference"),
    ("engine:", "AI and Machine Learning", "Generative AI", "Inference"),
    ("type:", "Compute", "Virtual Machines", "Machines"),
    ("gpu:", "Compute", "Virtual Machines", "GPUs"),
    ("disk", "Storage", "Block Storage", "Disks"),
    ("ip", "Networking", "Other (Networking)", "Addresses"),
)
_OTHER = ("Other", "Other (Other)", "Other")


def rows_of(invoice: Mapping[str, Any], lines: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The rows of one invoice. Tax that is included in prices has no row of its own."""
    return [
        _row(invoice, line)
        for line in lines
        if not (line["kind"] == LineKind.TAX and invoice["is_inclusive"])
    ]


def _row(invoice: Mapping[str, Any], line: Mapping[str, Any]) -> dict[str, str]:
    is_used = line["kind"] in (LineKind.USAGE, LineKind.PRIOR_PERIOD)
    amount = _text(line["amount"])
    category, subcategory, service = _service(line["product"])
    quantity, price = _text(line["quantity"]), _text(line["unit_price"])
    priced = {
        "ConsumedQuantity": quantity,
        "ConsumedUnit": line["unit"],
        "PricingQuantity": quantity,
        "PricingUnit": line["unit"],
        "ListUnitPrice": price,
        "ContractedUnitPrice": price,
        "PricingCategory": "Standard",
        "SkuId": line["product"],
        "SkuPriceId": f"{line['product']}@{price}",
    }
    start, end = _moment(invoice["period_start"]), _moment(invoice["period_end"])
    row = {
        "BilledCost": amount,
        "BillingAccountId": invoice["team_id"],
        "BillingAccountName": invoice["team_name"],
        "BillingAccountType": "Team",
        "BillingCurrency": invoice["currency"],
        "BillingPeriodStart": start,
        "BillingPeriodEnd": end,
        "ChargeCategory": _CATEGORY[LineKind(line["kind"])],
        "ChargeClass": "",
        "ChargeDescription": line["description"],
        "ChargeFrequency": "Usage-Based" if is_used else "One-Time",
        "ChargePeriodStart": start,
        "ChargePeriodEnd": end,
        "ContractedCost": amount,
        "EffectiveCost": amount,
        "ListCost": amount,
        "InvoiceId": invoice["number"],
        "InvoiceIssuerName": invoice["seller"],
        "PricingCurrency": invoice["currency"],
        "ProviderName": invoice["seller"],
        "PublisherName": invoice["seller"],
        "ServiceCategory": category,
        "ServiceSubcategory": subcategory,
        "ServiceName": service,
        "SubAccountId": line["workspace_id"] or "",
        "SubAccountName": line["workspace"],
        "SubAccountType": "Workspace" if line["workspace_id"] else "",
        **(priced if is_used else {}),
    }
    return {name: row.get(name, "") for name in COLUMNS}


def _service(product: str) -> tuple[str, str, str]:
    for prefix, *names in _SERVICES:
        if product.startswith(prefix):
            category, subcategory, service = names
            return category, subcategory, service
    return _OTHER


def billed(rows: Iterable[Mapping[str, str]]) -> Decimal:
    """What the rows add up to."""
    return sum((Decimal(row["BilledCost"]) for row in rows), ZERO)


def _text(amount: Decimal) -> str:
    return plain(amount) if amount else "0"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
