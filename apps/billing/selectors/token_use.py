"""Reading tokens: settled requests, one by one, or added up by model, key, workspace or day. Days are UTC."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from apps.billing.models import TokenRequest
from apps.core.actor import Actor
from apps.core.money import ZERO
from apps.teams.models import ApiKey, Workspace

GROUPS = {"model": "slug", "key": "key_id", "workspace": "workspace_id", "day": "day"}
_AMOUNT = F("input_amount") + F("cached_amount") + F("output_amount") + F("embedding_amount")


@dataclass(frozen=True, slots=True)
class TokenSum:
    """Requests of one group and what they used; `output` counts embeddings too, where there are any."""

    key: str
    label: str
    requests: int
    input: int
    cached: int
    output: int
    embedding: int
    amount: Decimal


def requests_of(*, actor: Actor, team_id: str, since: datetime) -> "QuerySet[Any]":
    """The settled requests of a team that the actor may see, each with its `day`."""
    rows = TokenRequest.objects.visible_to(actor).filter(team_id=team_id, finished_at__gte=since)
    found: QuerySet[Any] = rows.annotate(day=TruncDate("finished_at", tzinfo=UTC))
    return found


def request_of(*, actor: Actor, team_id: str, request_id: str) -> TokenRequest | None:
    """One settled request of the team; None while it is not settled, or not the actor's to see."""
    rows = TokenRequest.objects.visible_to(actor).filter(team_id=team_id)
    found: TokenRequest | None = rows.filter(pk=request_id).first()
    return found


def latest(rows: "QuerySet[Any]", *, before: str = "", most: int) -> list[TokenRequest]:
    """The newest of the requests; with the id of one, those older than it."""
    if before:
        last = rows.filter(pk=before).values_list("finished_at", flat=True).first()
        if last is None:
            return []
        rows = rows.filter(Q(finished_at__lt=last) | Q(finished_at=last, pk__lt=before))
    return list(rows.order_by("-finished_at", "-pk")[:most])


def by_group(rows: "QuerySet[Any]", group: str) -> list[TokenSum]:
    """Sums by one of the groups; the dearest first, days in order."""
    column = GROUPS[group]
    found = list(_sums(rows, column).order_by(column if group == "day" else "-amount", column))
    labels = names_of(group, [str(row[column]) for row in found if row[column]])
    return [
        TokenSum(
            str(row[column] or ""), labels.get(str(row[column]), str(row[column] or "–")), row["requests"],
            row["sum_input"], row["sum_cached"], row["sum_output"], row["sum_embedding"],
            row["amount"] or ZERO,
        )
        for row in found
    ]  # fmt: skip


def by_everything(rows: "QuerySet[Any]") -> "QuerySet[Any]":
    """Sums of each day, model, key and workspace, for a file."""
    columns = ("day", "slug", "key_id", "workspace_id", "currency")
    return _sums(rows, *columns).order_by(*columns)


def _sums(rows: "QuerySet[Any]", *columns: str) -> "QuerySet[Any]":
    found: QuerySet[Any] = (
        rows.order_by()
        .values(*columns)
        .annotate(
            requests=Count("pk"),
            sum_input=Sum("input"),
            sum_cached=Sum("cached"),
            sum_output=Sum("output"),
            sum_embedding=Sum("embedding"),
            amount=Sum(_AMOUNT),
        )
    )
    return found


def names_of(group: str, ids: Sequence[str], *, brief: bool = False) -> dict[str, str]:
    """What keys or workspaces of these ids are called; keys also how they begin, unless it is to be brief."""
    if group == "key":
        rows = ApiKey.objects.filter(pk__in=ids).values_list("pk", "name", "prefix")
        return {str(pk): name if brief else f"{name} ({prefix}…)" for pk, name, prefix in rows}
    if group == "workspace":
        return {str(pk): name for pk, name in Workspace.objects.filter(pk__in=ids).values_list("pk", "name")}
    return {}
