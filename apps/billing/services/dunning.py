"""What becomes of a team that cannot pay for what it keeps.

1. Grace: three minutes after the money is gone what runs is stopped (`headroom_lost`); disks stay.
2. Seven days during which not even those could be paid: the team is suspended. It may read, and pay.
3. Data is kept for thirty days more; nothing is deleted by itself, staff are told when the time is over.

Once everything can be paid again, by a top-up for example, the team is resumed by itself.
"""

from datetime import datetime, timedelta

from django.db.models import Min
from django.utils.translation import gettext as _

from apps.billing.models import Meter
from apps.core.actor import SYSTEM, Actor
from apps.core.clock import db_now
from apps.core.permissions import Permission
from apps.operations.models import Event
from apps.operations.services import emit
from apps.teams.models import Team
from apps.teams.services import resume_team, suspend_team
from apps.teams.states import TeamState

SUSPEND_AFTER = timedelta(days=7)
KEEP_FOR = timedelta(days=30)
UNPAID = "The balance ran out."  # how the reason of a suspension begins that ends by itself
DATA_DUE = "team.data_due"


def review(*, actor: Actor = SYSTEM, now: datetime | None = None) -> int:
    """Take every team that owes a step further, and back those that no longer do; how many steps that was."""
    actor.require(Permission.TEAM_SUSPEND)
    moment = now or db_now()
    short = Meter.objects.running().filter(short_since__isnull=False).order_by()
    since = dict(short.values("team_id").annotate(first=Min("short_since")).values_list("team_id", "first"))
    owing = Team.objects.filter(pk__in=[team for team, at in since.items() if moment - at >= SUSPEND_AFTER])
    steps = sum(_suspend(actor, team, since[team.pk]) for team in owing.filter(state=TeamState.ACTIVE))
    waiting = owing.filter(state=TeamState.SUSPENDED, suspended_because__startswith=UNPAID)
    steps += sum(_tell(team) for team in waiting if moment >= keep_until(since[team.pk]))
    held = Team.objects.filter(state=TeamState.SUSPENDED, suspended_because__startswith=UNPAID)
    return steps + sum(_resume(actor, team) for team in held.exclude(pk__in=list(since)))


def keep_until(short_since: datetime) -> datetime:
    """Until when the data of a team that has been short since then is kept at least."""
    return short_since + SUSPEND_AFTER + KEEP_FOR


def _suspend(actor: Actor, team: Team, since: datetime) -> int:
    kept = _("Data is kept until %(day)s at least.") % {"day": f"{keep_until(since):%Y-%m-%d}"}
    suspend_team(actor=actor, team=team, reason=f"{UNPAID} {kept}")
    return 1


def _tell(team: Team) -> int:
    """Tell staff, once per suspension, that the data need not be kept any longer."""
    if Event.objects.filter(type=DATA_DUE, subject=team.pk, at__gte=team.suspended_at).exists():
        return 0
    emit(type=DATA_DUE, subject=team.pk, team_id=team.pk, data={"name": team.name})
    return 1


def _resume(actor: Actor, team: Team) -> int:
    resume_team(actor=actor, team=team)
    return 1
