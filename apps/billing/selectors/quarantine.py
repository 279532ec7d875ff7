"""Reading what was set aside."""

from django.utils.translation import gettext as _

from apps.billing.models import Quarantined
from apps.billing.models.quarantine import QuarantineQuerySet
from apps.billing.states import QuarantineState
from apps.core.actor import Actor
from apps.core.errors import NotFound

Reports = QuarantineQuerySet


def reports(actor: Actor) -> Reports:
    """Every report that was set aside, newest first; for staff."""
    found: Reports = Quarantined.objects.visible_to(actor).order_by("-received_at", "-id")
    return found


def open_count(actor: Actor) -> int:
    """How many of them wait for a decision."""
    return reports(actor).filter(state=QuarantineState.OPEN).count()


def find_report(actor: Actor, report_id: str) -> Quarantined:
    found = reports(actor).filter(pk=report_id).first()
    if found is None:
        raise NotFound(_("There is no such report."))
    return found
