"""What engines wrote is fetched for those who asked, and before an engine is taken away."""

from datetime import timedelta

import structlog

from apps.core.clock import db_now
from apps.core.leases import in_time
from apps.drivers.errors import DriverError
from apps.inference.models import EngineLog, Replica
from apps.inference.services.logs import keep_log
from apps.regions.reconcilers import cluster_of, engines_of

log = structlog.get_logger(__name__)

WAIT = timedelta(minutes=1)  # after that whoever asked has left
MOST = 50


def read_log(*, replica_id: str) -> bool:
    """Fetch what the replica's engine wrote last; False when there is nobody to ask, or no answer."""
    rows = Replica.objects.filter(released_at=None, cluster__isnull=False, region__frozen_at=None)
    replica = rows.filter(pk=replica_id).first()
    if replica is None:
        return False
    try:
        text = engines_of(cluster_of(str(replica.cluster_id))).read_log(replica.engine_name)
    except DriverError as error:
        log.warning("log_unread", replica=replica_id, error=error.detail)
        return False
    keep_log(replica=replica, text=text, now=db_now())
    return True


def read_asked() -> int:
    """What somebody waits for and no hint has reached; returns how many were fetched."""
    asked = EngineLog.objects.filter(asked_at__gt=in_time(-WAIT))
    waiting = list(asked.order_by("asked_at").values_list("pk", flat=True)[:MOST])
    return sum(read_log(replica_id=str(pk)) for pk in waiting)
