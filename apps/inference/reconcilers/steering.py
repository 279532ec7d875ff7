"""Endpoints are steered by what the gateway reports in Redis."""

import json
from collections.abc import Mapping
from functools import cache

import redis
import structlog
from django.conf import settings

from apps.core.clock import db_now
from apps.inference.models import Endpoint
from apps.inference.plans.scaling import Load, add_up
from apps.inference.services import fleet

log = structlog.get_logger(__name__)

LOAD = "gateway:load:{endpoint}"
PATIENCE = 0.5  # seconds


def steer_endpoint(*, endpoint_id: str) -> bool:
    """One look at an endpoint: how many replicas, which ones, and where it stands."""
    now = db_now()
    load = read_load(endpoint_id, now.timestamp())
    return fleet.steer(endpoint_id=endpoint_id, load=load, now=now)


def steer_due(*, limit: int = 200) -> int:
    """Every endpoint that is due."""
    steered = 0
    for pk in list(Endpoint.objects.due().values_list("pk", flat=True)[:limit]):
        try:
            steered += steer_endpoint(endpoint_id=pk)
        except Exception:
            log.exception("endpoint_pass_failed", endpoint=pk)
    return steered


def read_load(endpoint_id: str, now: float) -> Load | None:
    """What all gateway processes together report; None when Redis does not say."""
    try:
        said: Mapping[bytes, bytes] = _redis(settings.REDIS_URL).hgetall(LOAD.format(endpoint=endpoint_id))  # type: ignore[assignment]
    except redis.RedisError as error:
        log.warning("load_unknown", endpoint=endpoint_id, error=str(error))
        return None
    return add_up(filter(None, map(_report, said.values())), now)


def _report(text: bytes) -> Load | None:
    """One process's report; what cannot be read counts for nothing."""
    try:
        said = json.loads(text)
        return Load(
            outstanding=int(said.get("outstanding") or 0),
            queued=int(said.get("queued") or 0),
            tokens_per_s=float(said.get("tokens_per_s") or 0.0),
            last_request_at=float(said.get("last_request_at") or 0.0),
            at=float(said.get("at") or 0.0),
        )
    except (ValueError, TypeError, AttributeError):
        return None


@cache
def _redis(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE)
