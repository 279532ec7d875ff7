"""Mailing what a team is told of its budgets and its balance, each once.

A message has an id of its own: should the process die between sending and noting it, the repeat carries the
same id and mail systems show it once. One that cannot be sent holds up no other.
"""

from typing import Any

import structlog
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.models import BudgetAlert, Notice
from apps.billing.specs import MAIL_WITHIN
from apps.billing.states import NoticeKind
from apps.core.actor import SYSTEM, Actor
from apps.core.clock import db_now
from apps.core.leases import in_time
from apps.core.money import plain
from apps.core.permissions import Permission, Role
from apps.teams.models import Membership

log = structlog.get_logger(__name__)

MAILS = 50


def mail_alerts(*, actor: Actor = SYSTEM) -> int:
    """Write to the team's admins and billing people about thresholds reached; how many alerts that were."""
    actor.require(Permission.BILLING_MANAGE)
    return sum(_mail_alert(pk) for pk in _waiting(BudgetAlert))


def mail_notices(*, actor: Actor = SYSTEM) -> int:
    """Write to the same people about a balance that ran out, and what follows; how many notices that were."""
    actor.require(Permission.BILLING_MANAGE)
    return sum(_mail_notice(pk) for pk in _waiting(Notice))


@transaction.atomic
def _mail_alert(pk: int) -> bool:
    alert = _take(BudgetAlert, pk, "budget", "team")
    if alert is None:
        return False
    budget = alert.budget
    words = {
        "name": budget.name,
        "threshold": alert.threshold,
        "spent": plain(alert.spent),
        "amount": plain(budget.amount),
        "team": alert.team.name,
    }
    subject = _("[hostedai] %(threshold)s %% of the budget “%(name)s” is spent") % words
    body = _("%(team)s has spent %(spent)s of the %(amount)s of its budget “%(name)s”.") % words
    return _send(alert, subject, body, f"budget-alert-{alert.pk}-{alert.threshold}")


@transaction.atomic
def _mail_notice(pk: str) -> bool:
    notice = _take(Notice, pk, "team")
    if notice is None:
        return False
    subject, body = _TEXTS[NoticeKind(notice.kind)]()
    words = {"team": notice.team.name, "day": notice.keep_until}
    return _send(notice, f"[hostedai] {subject % words}", body % words, f"notice-{notice.pk}")


_TEXTS = {
    NoticeKind.SHORT: lambda: (
        _("The balance of %(team)s has run out"),
        _("What runs is stopped within minutes; its disks are kept. Add funds to go on."),
    ),
    NoticeKind.SUSPENDED: lambda: (
        _("%(team)s is suspended"),
        _("For a week its disks could not be paid. Data is kept until %(day)s at least. Add funds to go on."),
    ),
    NoticeKind.DATA_DUE: lambda: (
        _("The data of %(team)s need not be kept any longer"),
        _("It may be deleted from now on. Add funds to keep it."),
    ),
    NoticeKind.RESUMED: lambda: (
        _("%(team)s is active again"),
        _("Everything is paid. What was stopped can be started again."),
    ),
}


def _waiting(rows: Any) -> list[Any]:
    """Some that are news still: what nobody takes is given up, so that it holds up nothing for good."""
    fresh = rows.objects.filter(mailed_at=None, at__gt=in_time(-MAIL_WITHIN))
    return list(fresh.order_by("pk").values_list("pk", flat=True)[:MAILS])


def _take(rows: Any, pk: object, *names: str) -> Any:
    """Lock what waits, unless somebody else has it or it was mailed meanwhile."""
    locked = rows.objects.select_for_update(of=("self",), skip_locked=True)
    return locked.select_related(*names).filter(pk=pk, mailed_at=None).first()


def _send(row: Any, subject: str, body: str, name: str) -> bool:
    """Mail it and note that; whether that went well. A team whose people have all left is told nothing."""
    people = Membership.objects.filter(team_id=row.team_id, role__in=(Role.TEAM_ADMIN, Role.TEAM_BILLING))
    to = sorted(people.filter(user__is_active=True).values_list("user__email", flat=True))
    message = EmailMessage(subject, body, None, to, headers={"Message-ID": f"<{name}@hostedai>"})
    try:
        message.send()
    except OSError as error:  # SMTPException is one
        log.warning("not_mailed", message=name, error=str(error))
        return False
    row.mailed_at = db_now()
    row.save(update_fields=["mailed_at"])
    return True
