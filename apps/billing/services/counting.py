"""What the portal counts itself: events like any program's. What has no price for the team is not sold to it,
and not reported."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from apps.billing.meters import METERS
from apps.billing.selectors import prices
from apps.billing.services import events
from apps.core.actor import SYSTEM
from apps.core.money import plain

SOURCE = "portal"


@dataclass(frozen=True, slots=True)
class Counted:
    """So much of a meter that a resource has used by a moment; `event_id` makes it count once."""

    meter: str
    event_id: str
    team_id: str
    workspace_id: str
    resource_id: str
    quantity: Decimal
    at: datetime


def count(*, used: Counted) -> None:
    """Charge it soon, if it is sold to the team; again changes nothing."""
    currency = prices.currency_of(used.team_id)
    sold = prices.prices_of(team_id=used.team_id, currency=currency, at=used.at)
    if not sold.filter(product=METERS[used.meter].product).exists():
        return
    event = {
        "id": used.event_id,
        "source": SOURCE,
        "type": used.meter,
        "time": used.at.isoformat(),
        "team": used.team_id,
        "workspace": used.workspace_id,
        "subject": used.resource_id,
        "data": {"quantity": plain(used.quantity)},
    }
    events.ingest(actor=SYSTEM, events=[event], now=used.at)
