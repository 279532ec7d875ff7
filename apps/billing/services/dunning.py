"""What becomes of a team that cannot pay for what it keeps.

1. Grace: three minutes after the money is gone what runs is stopped (`headroom_lost`); disks stay.
2. Seven days during which not even those could be paid: the team is suspended. It may read, and pay.
3. Data is kept for thirty days more; nothing is deleted by itself, staff are told when the time is over.

Once everything can be paid again, by a top-up for example, the team is resumed by itself. Of each step its
admins and billing people get one e-mail (`mailing.py`).
"""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Min, Sum
from django.utils.translation import gettext as _

from apps.billing.models import Meter, Notice, Wallet
from apps.billing.specs import HOLD_AHEAD, SECONDS_PER_HOUR
from apps.billing.states import NoticeKind
from apps.core.actor import SYSTEM, Actor
from apps.core.clock import db_now
from apps.core.leases import in_time
from apps.core.money import plain
from apps.core.permissions import Permission
from apps.operations.models import Event
from apps.operations.services import emit
from apps.teams.models import Team
from apps.teams.services import resume_team, suspend_team
from apps.teams.states import TeamState

SUSPEND_AFTER = timedelta(days=7)
KEEP_FOR = timedelta(days=30)
WARN_EVERY = timedelta(days=1)
UNPAID = "The balance ran out."  # how the reason of a suspension begins that ends by itself
DATA_DUE = "team.data_due"


def review(*, actor: Actor = SYSTEM, now: datetime | None = None) -> int:
    """Take every team that owes a step further, and back those that no longer do; how many steps that was."""
    actor.require(Permission.TEAM_SUSPEND)
    moment = now or db_now()
    since = _short_since()
    _warn(since, moment)
    owing = Team.objects.filter(pk__in=[team for team, at in since.items() if moment - at >= SUSPEND_AFTER])
    steps = sum(_suspend(actor, team, since[team.pk]) for team in owing.filter(state=TeamState.ACTIVE))
    waiting = owing.filter(state=TeamState.SUSPENDED, suspended_because__startswith=UNPAID)
    steps += sum(_tell(team) for team in waiting if moment >= keep_until(since[team.pk]))
    held = Team.objects.filter(state=TeamState.SUSPENDED, suspended_because__startswith=UNPAID)
    return steps + sum(_resume(actor, team) for team in held.exclude(pk__in=list(since)))


def _short_since() -> dict[str, datetime]:
    """By team, since when its balance does not pay for something that it keeps. What a budget stops is no
    debt, however long it did so before the balance was gone as well."""
    hour_share = Decimal(int(HOLD_AHEAD.total_seconds())) / SECONDS_PER_HOUR
    short = Meter.objects.running().filter(unpaid_since__isnull=False).order_by().values("team_id")
    found = short.annotate(first=Min("unpaid_since"), hourly=Sum("hourly"))
    needed = {one["team_id"]: (one["first"], one["hourly"] * hour_share) for one in found}
    wallets = Wallet.objects.filter(team_id__in=list(needed))
    return {one.team_id: needed[one.team_id][0] for one in wallets if one.available < needed[one.team_id][1]}


def _warn(since: dict[str, datetime], moment: datetime) -> None:
    """Tell teams that have just run out of money; once a day at most, however often it comes and goes."""
    fresh = {team for team, at in since.items() if moment - at < WARN_EVERY}
    told = Notice.objects.filter(team_id__in=fresh, kind=NoticeKind.SHORT, at__gt=in_time(-WARN_EVERY))
    owing = Wallet.objects.filter(team_id__in=fresh - set(told.values_list("team_id", flat=True)))
    for wallet in owing.order_by("team_id"):
        _tell_short(wallet)


@transaction.atomic
def _tell_short(wallet: Wallet) -> None:
    about = {
        "balance": plain(wallet.balance),
        "available": plain(wallet.available),
        "currency": wallet.currency,
    }
    emit(type="wallet.run_out", subject=wallet.team_id, team_id=wallet.team_id, data=about)
    Notice.objects.create(team_id=wallet.team_id, kind=NoticeKind.SHORT)


def keep_until(short_since: datetime) -> datetime:
    """Until when the data of a team that has been short since then is kept at least."""
    return short_since + SUSPEND_AFTER + KEEP_FOR


@transaction.atomic
def _suspend(actor: Actor, team: Team, since: datetime) -> int:
    day = keep_until(since).date()
    kept = _("Data is kept until %(day)s at least.") % {"day": f"{day:%Y-%m-%d}"}
    suspend_team(actor=actor, team=team, reason=f"{UNPAID} {kept}")
    Notice.objects.create(team=team, kind=NoticeKind.SUSPENDED, keep_until=day)
    return 1


@transaction.atomic
def _tell(team: Team) -> int:
    """Tell staff and the team, once per suspension, that the data need not be kept any longer."""
    if Event.objects.filter(type=DATA_DUE, subject=team.pk, at__gte=team.suspended_at).exists():
        return 0
    emit(type=DATA_DUE, subject=team.pk, team_id=team.pk, data={"name": team.name})
    Notice.objects.create(team=team, kind=NoticeKind.DATA_DUE)
    return 1


@transaction.atomic
def _resume(actor: Actor, team: Team) -> int:
    resume_team(actor=actor, team=team)
    Notice.objects.create(team=team, kind=NoticeKind.RESUMED)
    return 1
