"""What engines write: asked for by people, brought by workers, kept when an engine goes."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.core.actor import Actor, team_scope
from apps.core.errors import NotFound
from apps.core.leases import in_time
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.inference.models import EngineLog, Replica
from apps.inference.models.replicas import FAILED_FOR

READ = "inference.read_log"
ASK_AGAIN = timedelta(seconds=5)  # a worker that has not come by then is called again


@transaction.atomic
def follow_log(*, actor: Actor, replica_id: str) -> EngineLog:
    """What its engine wrote last, as far as it is known; a worker brings what is new for the next time."""
    found = Replica.objects.visible_to(actor, Permission.ENDPOINT_LOGS).filter(pk=replica_id).first()
    if found is None:
        raise NotFound(_("There is no such replica."))
    replica: Replica = found
    actor.require(Permission.ENDPOINT_LOGS, *([team_scope(replica.team_id)] if replica.team_id else []))
    log, _new = EngineLog.objects.get_or_create(pk=replica.pk, defaults={"team_id": replica.team_id})
    log.replica = replica
    if replica.released_at is None and replica.cluster_id is not None:
        _ask(log)
    return log


def _ask(log: EngineLog) -> None:
    unasked = Q(asked_at=None) | Q(asked_at__lt=in_time(-ASK_AGAIN))
    if EngineLog.objects.filter(unasked, pk=log.pk).update(asked_at=Now()):
        enqueue(READ, replica_id=str(log.pk))


def keep_log(*, replica: Replica, text: str, now: datetime) -> None:
    """What its engine had written by now; an engine that is gone has not taken back what it said."""
    said = {"text": text, "read_at": now} if text else {}
    EngineLog.objects.update_or_create(
        pk=replica.pk,
        defaults={**said, "asked_at": None},
        create_defaults={**said, "team_id": replica.team_id},
    )


def forget_logs() -> int:
    """Remove those of engines that are long gone."""
    gone = EngineLog.objects.filter(replica__released_at__lt=in_time(-FAILED_FOR))
    removed, _details = gone.delete()
    return int(removed)
