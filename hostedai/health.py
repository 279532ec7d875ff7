"""Is the process alive, and is each thing it depends on."""

import hmac
import http.client
import socket
from collections.abc import Callable, Iterator
from typing import ClassVar
from urllib.parse import urlsplit

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count, Model
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from apps.core import tenancy
from apps.instances.models import Instance
from apps.nodes.models import Node
from apps.operations.models import Operation

log = structlog.get_logger(__name__)


@require_safe
def health(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@require_safe
def readiness(request: HttpRequest) -> HttpResponse:
    """503 when pages cannot be served, 200 otherwise; each dependency is named either way.

    Without the gateway or the object store only models suffer: the portal is `degraded` and goes on.
    """
    checks = {name: _ask(check) for name, check in (CHECKS | _optional()).items()}
    away = {name for name, answer in checks.items() if answer != "ok"}
    is_ready = away.isdisjoint(CHECKS)
    status = "unready" if not is_ready else "degraded" if away else "ok"
    return JsonResponse({"status": status, "checks": checks}, status=200 if is_ready else 503)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus metrics, for whoever holds `METRICS_TOKEN`."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not settings.METRICS_TOKEN or not hmac.compare_digest(given.encode(), settings.METRICS_TOKEN.encode()):
        return JsonResponse({"status": "forbidden"}, status=403)
    return HttpResponse(generate_latest() + generate_latest(_fleet), content_type=CONTENT_TYPE_LATEST)


def _ask(check: Callable[[], None]) -> str:
    try:
        check()
    except (DatabaseError, redis.RedisError, OSError, http.client.HTTPException, RuntimeError) as error:
        log.warning("unready", error=str(error))
        return type(error).__name__  # the words name hosts and addresses; they are for the log
    return "ok"


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _migrations() -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise RuntimeError("there are migrations to run")


def _redis() -> None:
    with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1) as client:
        client.ping()


CHECKS: dict[str, Callable[[], None]] = {
    "database": _database,
    "migrations": _migrations,
    "redis": _redis,
}


def _gateway() -> None:
    with socket.create_connection((settings.GATEWAY_HOST, settings.GATEWAY_PORT), timeout=1):
        pass


def _objects() -> None:
    """Any answer will do: what may be read there is not asked."""
    where = urlsplit(settings.S3_ENDPOINT_URL)
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = kind(where.hostname or "", where.port, timeout=2)
    try:
        connection.request("HEAD", "/")
        connection.getresponse()
    finally:
        connection.close()


def _optional() -> dict[str, Callable[[], None]]:
    return {"gateway": _gateway} | ({"objects": _objects} if settings.S3_ENDPOINT_URL else {})


class _Fleet(Collector):
    """What there is at the moment of asking, counted in the database."""

    COUNTED: ClassVar[dict[str, tuple[type[Model], str]]] = {
        "hostedai_instances": (Instance, "state"),
        "hostedai_nodes": (Node, "health"),
        "hostedai_operations": (Operation, "state"),
    }

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with tenancy.everything():
            for name, (model, column) in self.COUNTED.items():
                gauge = GaugeMetricFamily(
                    name, f"{model._meta.verbose_name_plural} by {column}", labels=[column]
                )
                rows = model._default_manager.order_by().values_list(column).annotate(number=Count("pk"))
                for value, number in rows:
                    gauge.add_metric([str(value)], number)
                yield gauge


_fleet = CollectorRegistry()
_fleet.register(_Fleet())
