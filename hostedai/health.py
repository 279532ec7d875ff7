"""Is the process alive, and is each thing it depends on."""

import hmac
from collections.abc import Callable

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


@require_safe
def health(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@require_safe
def readiness(request: HttpRequest) -> HttpResponse:
    """200 when everything answers, 503 otherwise; each dependency is named either way."""
    checks = {name: _ask(check) for name, check in CHECKS.items()}
    ready = all(answer == "ok" for answer in checks.values())
    return JsonResponse(
        {"status": "ok" if ready else "unready", "checks": checks},
        status=200 if ready else 503,
    )


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus metrics, for whoever holds `METRICS_TOKEN`."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not settings.METRICS_TOKEN or not hmac.compare_digest(
        given.encode(), settings.METRICS_TOKEN.encode()
    ):
        return JsonResponse({"status": "forbidden"}, status=403)
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def _ask(check: Callable[[], None]) -> str:
    try:
        check()
    except (DatabaseError, redis.RedisError, OSError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return "ok"


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _migrations() -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise RuntimeError("there are migrations to run")


def _redis() -> None:
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1
    ) as client:
        client.ping()


CHECKS: dict[str, Callable[[], None]] = {
    "database": _database,
    "migrations": _migrations,
    "redis": _redis,
}
