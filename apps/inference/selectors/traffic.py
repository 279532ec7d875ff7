"""What went on at endpoints, from the settled requests."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Aggregate, Count, DateTimeField, F, FloatField, Q, QuerySet, Sum
from django.db.models.expressions import Func, Value
from django.db.models.functions import Extract

from apps.billing.models import TokenRequest
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.inference.models import Endpoint

POINTS = 60
ORIGIN = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
LATELY, STRIDE = timedelta(hours=1), timedelta(minutes=5)


class Percentile(Aggregate):
    """The value that a share of all does not exceed."""

    function = "percentile_cont"
    name = "percentile"
    template = "%(function)s(%(share)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()

    def __init__(self, expression: Any, share: float, **extra: Any) -> None:
        super().__init__(expression, share=share, **extra)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was asked and answered; half and 95 % of the whole answers took at most so many seconds, and the
    callers of as many streams waited so long for the first byte."""

    requests: int = 0
    input: int = 0
    output: int = 0
    refused: int = 0  # by the engine: the request was wrong
    broken: int = 0  # did not come to their end
    median: float | None = None
    p95: float | None = None
    first_median: float | None = None
    first_p95: float | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """What happened in the span that begins `at`."""

    at: datetime
    figures: Figures


@dataclass(frozen=True, slots=True)
class Traffic:
    """Buckets of `step`, oldest first and without gaps, and what they come to."""

    step: timedelta
    buckets: Sequence[Bucket]
    total: Figures

    @property
    def times(self) -> list[float]:
        """Where its points lie; none where nothing happened."""
        return [one.at.timestamp() for one in self.buckets] if self.total.requests else []


@dataclass(frozen=True, slots=True)
class Lately:
    """The last hour of one endpoint: requests of each five minutes, oldest first, and in all."""

    counts: Sequence[int]
    total: Figures


def traffic(*, actor: Actor, endpoint: Endpoint, span: timedelta = timedelta(hours=1)) -> Traffic:
    """The last `span`; what the actor may not see counts for nothing. Two statements."""
    step = span / POINTS
    since = db_now() - span
    rows = _requests(actor, since).filter(endpoint_id=endpoint.pk)
    rows = rows.filter(team_id=endpoint.team_id) if endpoint.team_id else rows
    found = {row["bucket"]: row for row in _figures(rows.annotate(bucket=_bucket(step)), "bucket")}
    first = ORIGIN + ((since - ORIGIN) // step) * step
    moments = [first + number * step for number in range(POINTS + 1)]
    total = next(iter(_figures(rows, "endpoint_id")), None)
    return Traffic(step, [Bucket(at, _said(found.get(at))) for at in moments], _said(total))


def lately(*, actor: Actor, endpoints: Iterable[Endpoint]) -> dict[str, Lately]:
    """The last hour of each of these endpoints, by its id. Two statements."""
    ids = [str(one.pk) for one in endpoints]
    if not ids:
        return {}
    since = db_now() - LATELY
    rows = _requests(actor, since).filter(endpoint_id__in=ids)
    first = ORIGIN + ((since - ORIGIN) // STRIDE) * STRIDE
    moments = [first + number * STRIDE for number in range(LATELY // STRIDE + 1)]
    counted = rows.annotate(bucket=_bucket(STRIDE)).order_by().values_list("endpoint_id", "bucket")
    counts = {(pk, at): count for pk, at, count in counted.annotate(count=Count("pk"))}
    totals = {row["endpoint_id"]: row for row in _figures(rows, "endpoint_id")}
    return {pk: Lately([counts.get((pk, at), 0) for at in moments], _said(totals.get(pk))) for pk in ids}


def _requests(actor: Actor, since: datetime) -> QuerySet[Any]:
    rows: QuerySet[Any] = TokenRequest.objects.visible_to(actor).filter(finished_at__gte=since)
    return rows


def _bucket(step: timedelta) -> Func:
    return Func(
        Value(step), F("finished_at"), Value(ORIGIN), function="date_bin", output_field=DateTimeField()
    )


def _figures(rows: QuerySet[Any], group: str) -> QuerySet[Any]:
    seconds = Extract(F("finished_at") - F("started_at"), "epoch", output_field=FloatField())
    refused = Q(outcome="refused")
    found: QuerySet[Any] = (
        rows.order_by()
        .values(group)
        .annotate(
            requests=Count("pk"),
            tokens_in=Sum(F("input") + F("cached") + F("embedding")),
            tokens_out=Sum("output"),
            refused=Count("pk", filter=refused),
            broken=Count("pk", filter=~refused & ~Q(outcome="completed")),
            median=Percentile(seconds, 0.5, filter=~refused),
            p95=Percentile(seconds, 0.95, filter=~refused),
            first_median=Percentile(F("first_ms") / 1000.0, 0.5),
            first_p95=Percentile(F("first_ms") / 1000.0, 0.95),
        )
    )
    return found


_AS_COUNTED = ("refused", "broken", "median", "p95", "first_median", "first_p95")


def _said(row: dict[str, Any] | None) -> Figures:
    if row is None:
        return Figures()
    return Figures(
        requests=row["requests"],
        input=row["tokens_in"],
        output=row["tokens_out"],
        **{name: row[name] for name in _AS_COUNTED},
    )
