"""Where on a month's price curve a team stands: what it has used of a product before."""

from datetime import date, timedelta
from decimal import Decimal

from django.db.models import Sum

from apps.billing.models import UsageDay
from apps.billing.rating import Line
from apps.billing.specs import SECONDS_PER_HOUR
from apps.core.money import ZERO


class Positions:
    """The positions of one batch: read once, then moved by every line. Good under the wallets' locks only."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, date], Decimal] = {}

    def place(self, team_id: str, line: Line) -> Line:
        """The line with its position, and the amount that follows from it; plain lines as they are."""
        if line.curve is None:
            return line
        return line.placed(self.take(team_id, line.product, line.start.date(), line.unit_seconds))

    def take(self, team_id: str, product: str, day: date, unit_seconds: Decimal) -> Decimal:
        """What was used in the month before this, in unit-seconds; from now on this is part of it."""
        key = (team_id, product, day.replace(day=1))
        before = self._known[key] if key in self._known else used_before(*key)
        self._known[key] = before + unit_seconds
        return before


def used_before(team_id: str, product: str, month: date) -> Decimal:
    """What the team has used of a product in a month, in unit-seconds (units × 3600)."""
    after = (month + timedelta(days=31)).replace(day=1)
    days = UsageDay.objects.filter(team_id=team_id, product=product, day__gte=month, day__lt=after)
    sums = days.aggregate(seconds=Sum("unit_seconds"), quantity=Sum("quantity"))
    return (sums["seconds"] or ZERO) + (sums["quantity"] or ZERO) * SECONDS_PER_HOUR
