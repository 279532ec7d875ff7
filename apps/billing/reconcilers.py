"""Work that comes round: cutting running meters, and giving back holds that nobody used."""

from datetime import datetime, timedelta
from decimal import Decimal

import structlog
from django.db import IntegrityError, connection, transaction

from apps.billing.models import Hold, Meter, Wallet
from apps.billing.selectors import proofs
from apps.billing.services import budgets
from apps.billing.services.metering import Cut, settle
from apps.billing.signals import headroom_lost
from apps.billing.specs import HOLD_AHEAD, SECONDS_PER_HOUR, from_json
from apps.core.clock import db_now
from apps.core.failpoints import failpoint
from apps.core.ids import decode
from apps.operations.services import emit

log = structlog.get_logger(__name__)

BATCH = 500
PROOF_EVERY = timedelta(seconds=10)

_RELEASE = """
WITH gone AS (
    DELETE FROM billing_hold h WHERE h.expires_at < %(now)s AND h.team_id = ANY(%(teams)s)
       AND NOT EXISTS (SELECT FROM billing_meter m WHERE m.resource_id = h.resource_id AND m.ended_at IS NULL)
    RETURNING team_id, amount)
UPDATE billing_wallet w SET held = w.held - s.amount
  FROM (SELECT team_id, sum(amount) AS amount FROM gone GROUP BY team_id) s WHERE w.team_id = s.team_id
"""


def cut_due(*, now: datetime | None = None, limit: int = BATCH) -> int:
    """Cut every meter that is due, batch by batch, and say which have lost their headroom.

    Several pollers share the work: each takes rows that no other has.
    """
    done = 0
    while True:
        moment = now or db_now()
        count, lost = _cut_batch(moment, limit)
        for meter in lost:
            _report(meter)
        done += count
        if count < limit:
            return done


def release_expired(*, now: datetime | None = None, limit: int = BATCH) -> int:
    """Give back holds that ran out without their resource ever running; how many teams had some."""
    moment = now or db_now()
    running = Meter.objects.running().values("resource_id")
    expired = Hold.objects.filter(expires_at__lt=moment).exclude(resource_id__in=running)
    teams = set(expired.values_list("team_id", flat=True)[:limit])
    if not teams:
        return 0
    with transaction.atomic():
        wallets = Wallet.objects.filter(team_id__in=teams).order_by("team_id").select_for_update()
        locked = [wallet.team_id for wallet in wallets]
        with connection.cursor() as cursor:
            cursor.execute(_RELEASE, {"now": moment, "teams": [decode("team", team) for team in locked]})
            return int(cursor.rowcount)


def prove_books() -> bool:
    """Prove every invariant, and raise an alert for each that does not hold; nothing is repaired."""
    failed = [finding for finding in proofs.verify() if not finding.is_ok]
    for finding in failed:
        log.error("books_do_not_agree", check=finding.name, count=finding.count, examples=finding.examples)
        emit(
            type="billing.unproved",
            subject=finding.name,
            data={"sentence": finding.sentence, "count": finding.count, "examples": finding.examples},
        )
    return not failed


def _cut_batch(now: datetime, limit: int) -> tuple[int, list[Meter]]:
    try:
        with transaction.atomic():
            meters = _take(now, limit)
            cuts = _cuts(meters, now)
            lost = settle(cuts) if cuts else []
            failpoint("billing.cut.settled")
    except IntegrityError:
        log.exception("cut_batch_refused", meters=len(meters))
        return len(meters), [lost for meter in meters for lost in _cut_alone(meter.pk, now)]
    return len(meters), lost


def _cut_alone(resource_id: str, now: datetime) -> list[Meter]:
    """One meter by itself; one whose rows PostgreSQL refuses is parked, so that it holds up no other."""
    try:
        with transaction.atomic():
            meter = Meter.objects.select_for_update().get(pk=resource_id)
            return settle([_cut(meter, now)]) if meter.next_cut_at else []
    except IntegrityError as error:
        log.exception("meter_parked", resource=resource_id)
        Meter.objects.filter(pk=resource_id).update(next_cut_at=None, parked_because=str(error)[:300])
        return []


def _take(now: datetime, limit: int) -> list[Meter]:
    due = Meter.objects.due(now).order_by("next_cut_at")[:limit]
    return sorted(due.select_for_update(skip_locked=True), key=lambda meter: meter.pk)


def _cuts(meters: list[Meter], now: datetime) -> list[Cut]:
    """What can be cut now; what waits for a proof that it still runs is looked at again soon."""
    cuts = [_cut(meter, now) for meter in meters]
    waiting = [cut.meter.pk for cut in cuts if cut.meter.proven_until and not cut.has_time]
    if waiting:
        Meter.objects.filter(pk__in=waiting).update(next_cut_at=now + PROOF_EVERY)
    return [cut for cut in cuts if cut.meter.pk not in waiting]


def _cut(meter: Meter, now: datetime) -> Cut:
    until = min(now, meter.proven_until) if meter.proven_until else now
    return Cut(meter, max(until, meter.metered_until), from_json(meter.rates))


def _report(meter: Meter) -> None:
    """Tell those above, after the commit; they hear it again at the next cut if nothing has changed."""
    about = {"resource_id": meter.resource_id, "team_id": meter.team_id}
    needed = meter.hourly * Decimal(int(HOLD_AHEAD.total_seconds())) / SECONDS_PER_HOUR
    budget = budgets.in_the_way(**about, needed=needed, now=meter.metered_until)
    answers = headroom_lost.send_robust(Meter, **about, budget=budget)
    for receiver, answer in answers:
        if isinstance(answer, Exception):
            log.error("headroom_receiver_failed", receiver=repr(receiver), exc_info=answer)
