"""Rated usage that stands on no invoice yet, added up to lines in PostgreSQL."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core.ids import decode, encode
from apps.invoicing.specs import Period, Usage
from apps.invoicing.states import LineKind
from apps.teams.models import Workspace

# Nothing is charged later than this after it was used.
LATEST = timedelta(days=400)

# Two lines of an invoice never share workspace, product, unit and price.
_FRESH = """
SELECT r.id, r.workspace_id, r.product, r.unit, r.unit_price, r.amount, r.quantity,
       r.started_at < %(start)s AS is_late,
       dense_rank() OVER (ORDER BY r.started_at < %(start)s, r.workspace_id, r.product, r.unit, r.unit_price)
           AS position
  FROM billing_rated r
 WHERE r.team_id = %(team)s AND r.started_at < %(end)s AND r.started_at >= %(earliest)s
   AND NOT EXISTS (SELECT FROM invoicing_invoicedusage u WHERE u.rated_id = r.id)
"""

_SUMS = """
SELECT position, is_late, workspace_id, product, unit, sum(quantity), unit_price,
       sum(amount), count(*)
  FROM fresh GROUP BY 1, 2, 3, 4, 5, 7 ORDER BY 1
"""

PREVIEW = f"WITH fresh AS ({_FRESH}) {_SUMS}"

CLAIM = f"""
WITH fresh AS MATERIALIZED ({_FRESH}),
     claimed AS (INSERT INTO invoicing_invoicedusage (rated_id, team_id, invoice_id, position)
                 SELECT id, %(team)s, %(invoice)s, position FROM fresh ORDER BY id)
{_SUMS}
"""  # noqa: S608 - made of this page

_TEAMS = """
SELECT DISTINCT r.team_id, w.currency FROM billing_ratedusage r JOIN billing_wallet w USING (team_id)
 WHERE r.started_at < %(end)s AND r.started_at >= %(earliest)s
   AND NOT EXISTS (SELECT FROM invoicing_invoicedusage u WHERE u.rated_id = r.id)
 ORDER BY r.team_id
"""


def preview(*, team_id: str, period: Period) -> list[Usage]:
    """What an invoice for the period would list now; nothing is written."""
    return _usages(PREVIEW, team_id, period, None)


def collect(*, team_id: str, period: Period, invoice_id: str) -> list[Usage]:
    """The same, and every row of it is claimed for the invoice, in one statement."""
    return _usages(CLAIM, team_id, period, decode("inv", invoice_id))


def teams_to_bill(period: Period) -> list[tuple[str, str]]:
    """Teams with usage that stands on no invoice, each with its currency."""
    with connection.cursor() as cursor:
        cursor.execute(_TEAMS, {"end": period.end, "earliest": period.start - LATEST})
        return [(encode("team", team), currency) for team, currency in cursor.fetchall()]


def _usages(statement: str, team_id: str, period: Period, invoice: UUID | None) -> list[Usage]:
    values: dict[str, Any] = {
        "team": decode("team", team_id),
        "start": period.start,
        "end": period.end,
        "earliest": _earliest(period.start),
        "invoice": invoice,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows = cursor.fetchall()
    names = dict(Workspace.objects.filter(team_id=team_id).values_list("pk", "name"))
    return [_usage(row, names) for row in rows]


def _earliest(start: datetime) -> datetime:
    return start - LATEST


def _usage(row: tuple[Any, ...], names: dict[str, str]) -> Usage:
    _position, is_late, workspace, product, unit, quantity, unit_price, amount, rows = row
    workspace_id = encode("wks", workspace)
    return Usage(
        kind=_kind(product, is_late=is_late),
        workspace_id=workspace_id,
        workspace=names.get(workspace_id, ""),
        product=product,
        unit=unit,
        quantity=quantity,
        unit_price=unit_price,
        amount=amount,
        rows=rows,
    )


def _kind(product: str, *, is_late: bool) -> str:
    if product in ("fee", "commitment"):
        return LineKind.FEE
    return LineKind.PRIOR_PERIOD if is_late else LineKind.USAGE
