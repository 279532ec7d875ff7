"""What went on at an endpoint, from the settled requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Avg, Count, DateTimeField, F, FloatField, Q, Sum
from django.db.models.expressions import Func, Value
from django.db.models.functions import Extract

from apps.billing.models import TokenRequest
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.inference.models import Endpoint

POINTS = 60
ORIGIN = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Bucket:
    """So much in the span that begins `at`; seconds are of whole answers."""

    at: datetime
    requests: int
    input: int
    output: int
    mean_seconds: float | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Buckets of `step`, oldest first and without gaps, and their totals."""

    step: timedelta
    buckets: Sequence[Bucket]
    requests: int
    input: int
    output: int
    mean_seconds: float | None


def traffic(*, actor: Actor, endpoint: Endpoint, span: timedelta = timedelta(hours=1)) -> Traffic:
    """The last `span`; what the actor may not see counts for nothing."""
    step = span / POINTS
    now = db_now()
    since = now - span
    rows = TokenRequest.objects.visible_to(actor).filter(
        team_id=endpoint.team_id, endpoint_id=endpoint.pk, finished_at__gte=since
    )
    bucket = Func(
        Value(step),
        F("finished_at"),
        Value(ORIGIN),
        function="date_bin",
        output_field=DateTimeField(),
    )
    seconds = Extract(F("finished_at") - F("started_at"), "epoch", output_field=FloatField())
    found = {
        row["bucket"]: row
        for row in rows.annotate(bucket=bucket)
        .values("bucket")
        .annotate(
            requests=Count("pk"),
            tokens_in=Sum(F("input") + F("cached") + F("embedding")),
            tokens_out=Sum("output"),
            mean=Avg(seconds, filter=Q(finished_at__gt=F("started_at"))),
        )
        .order_by("bucket")
    }
    first = ORIGIN + ((since - ORIGIN) // step) * step
    buckets = [_bucket(first + number * step, found) for number in range(POINTS + 1)]
    total = sum(one.requests for one in buckets)
    weighed = sum((one.mean_seconds or 0) * one.requests for one in buckets)
    return Traffic(
        step=step,
        buckets=buckets,
        requests=total,
        input=sum(one.input for one in buckets),
        output=sum(one.output for one in buckets),
        mean_seconds=weighed / total if total else None,
    )


def _bucket(at: datetime, found: dict[datetime, dict[str, object]]) -> Bucket:
    row = found.get(at)
    if row is None:
        return Bucket(at, 0, 0, 0, None)
    mean = row["mean"]
    return Bucket(
        at,
        int(str(row["requests"])),
        int(str(row["tokens_in"] or 0)),
        int(str(row["tokens_out"] or 0)),
        None if mean is None else float(str(mean)),
    )
