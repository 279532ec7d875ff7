"""Limits as they are in force, for the gateway and for those who set them."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from apps.core import tenancy
from apps.core.actor import Actor
from apps.inference.models.limits import RateLimit
from apps.inference.specs import USUAL_LIMITS, Limits
from apps.inference.states import LimitLevel

Four = tuple[int, int, int, int]


@dataclass(frozen=True)
class Effective:
    """Every limit; -1 is none."""

    rows: dict[tuple[str, str], Limits]

    def at(self, level: str, subject_id: str) -> Limits:
        """What the subject may: its own numbers, the level's where it has none."""
        usual = self.rows.get((level, ""), Limits()).or_else(USUAL_LIMITS[LimitLevel(level)])
        return self.rows[level, subject_id].or_else(usual) if (level, subject_id) in self.rows else usual

    def of(self, team_id: str, workspace_id: str, key_id: str) -> tuple[Four, Four]:
        """Requests per minute and tokens per day of a key, from the platform's level down to its own."""
        p, t, w, k = (
            self.at(level, subject)
            for level, subject in zip(LimitLevel, ("", team_id, workspace_id, key_id), strict=True)
        )
        return (
            (p.per_minute, t.per_minute, w.per_minute, k.per_minute),
            (p.per_day, t.per_day, w.per_day, k.per_day),
        )


def effective() -> Effective:
    """All limits, in one statement; for a process that sees everything."""
    rows = RateLimit.objects.order_by().values_list(
        "level", "subject_id", "requests_per_minute", "tokens_per_day"
    )
    return Effective({(level, subject): Limits(rpm, tpd) for level, subject, rpm, tpd in rows})


def limits_of(level: str, subject_id: str = "") -> Limits:
    """What is in force for one subject; the caller may see the subject, usual limits are no secret."""
    with tenancy.everything():
        found = RateLimit.objects.filter(level=level, subject_id__in={"", subject_id})
        rows = {
            (row.level, row.subject_id): Limits(row.requests_per_minute, row.tokens_per_day) for row in found
        }
    return Effective(rows).at(level, subject_id)


def list_limits(*, actor: Actor) -> QuerySet[Any]:
    """The numbers that were set, of whatever the actor may see; a key of a workspace sees its own team's."""
    return RateLimit.objects.visible_to(actor).select_related("team")


def levels() -> dict[str, Limits]:
    """What holds on each level for who has no numbers of its own."""
    with tenancy.everything():
        found = effective()
    return {str(level): found.at(level, "") for level in LimitLevel}


def own_limits(level: str, subject_ids: list[str]) -> dict[str, Limits]:
    """The numbers that were set for these subjects themselves; the caller may see the subjects."""
    rows = RateLimit.objects.filter(level=level, subject_id__in=subject_ids)
    return {row.subject_id: Limits(row.requests_per_minute, row.tokens_per_day) for row in rows}
