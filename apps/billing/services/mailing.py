"""Mailing what a team is told of its budgets and its balance."""

from django.utils.translation import gettext as _

from apps.billing.models import BudgetAlert, Notice
from apps.billing.states import NoticeKind
from apps.core.actor import SYSTEM, Actor
from apps.core.clock import db_now
from apps.core.leases import in_time
from apps.core.mailing import MAIL_WITHIN, Letter, mail_each
from apps.core.money import plain
from apps.core.permissions import Permission, Role
from apps.teams.selectors.rows import addresses_of


def mail_alerts(*, actor: Actor = SYSTEM) -> int:
    """Write to the team's admins and billing people about thresholds reached; how many alerts that were."""
    actor.require(Permission.BILLING_MANAGE)
    waiting = BudgetAlert.objects.filter(mailed_at=None, at__gt=in_time(-MAIL_WITHIN)).order_by("pk")
    return mail_each(waiting.select_related("budget", "team"), write=_alert, note=_note)


def mail_notices(*, actor: Actor = SYSTEM) -> int:
    """Write to the same people about a balance that ran out, and what follows; how many notices that were."""
    actor.require(Permission.BILLING_MANAGE)
    waiting = Notice.objects.filter(mailed_at=None, at__gt=in_time(-MAIL_WITHIN)).order_by("pk")
    return mail_each(waiting.select_related("team"), write=_notice, note=_note)


def _alert(alert: BudgetAlert) -> Letter:
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
    return Letter(f"budget-alert-{alert.pk}-{alert.threshold}", _people(alert), subject, body)


def _notice(notice: Notice) -> Letter:
    subject, body = _TEXTS[NoticeKind(notice.kind)]()
    words = {"team": notice.team.name, "day": notice.keep_until}
    return Letter(f"notice-{notice.pk}", _people(notice), f"[hostedai] {subject % words}", body % words)


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


def _people(row: BudgetAlert | Notice) -> list[str]:
    return addresses_of(row.team_id, Role.TEAM_ADMIN, Role.TEAM_BILLING)


def _note(row: BudgetAlert | Notice, _letter: Letter) -> None:
    row.mailed_at = db_now()
    row.save(update_fields=["mailed_at"])
