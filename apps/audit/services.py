"""Writing records, and sealing what was written."""

from typing import Any

from django.db import connection, models, transaction

from apps.audit.models import Block, Record
from apps.audit.selectors import GENESIS, block_hash
from apps.core import statements
from apps.core.actor import Actor

BATCH = 5000

# Sealers wait for one another here; nobody else does.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('hostedai.audit.seal'))"


def record(
    *,
    actor: Actor,
    action: str,
    target: models.Model,
    team_id: str | None = None,
    region_id: str | None = None,
    **data: Any,
) -> Record:
    """Note that the actor did this to that; part of the caller's transaction, so it is true or absent.

    Team, workspace and region are read off the target unless given; `data` must be JSON.
    """
    made = Record(
        action=action,
        actor_kind=actor.kind,
        actor_label=actor.label[:200],
        user_id=actor.user_id,
        key_id=actor.key_id,
        ip=actor.ip,
        request_id=actor.request_id or "",
        target_type=target._meta.model_name or "",
        target_id=str(target.pk),
        target_label=str(target)[:200],
        team_id=team_id or _team_of(target),
        workspace_id=getattr(target, "workspace_id", None) or actor.workspace_id,
        region_id=region_id or getattr(target, "region_id", None),
        data=data,
    )
    statements.insert(made)
    return made


@transaction.atomic
def seal_block(*, limit: int = BATCH) -> Block | None:
    """Bind the committed records that no block holds yet into the next one; None when there are none.

    Runs periodically with sight of everything. A record that commits late lands in a later block,
    so nobody who writes ever waits for the chain.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOCK)
    fresh = list(Record.objects.filter(block=None).order_by("id")[:limit])
    if not fresh:
        return None
    last = Block.objects.order_by("-number").first()
    previous = last.hash if last else GENESIS
    block = Block(
        number=last.number + 1 if last else 1,
        day=fresh[-1].at.date(),
        records=len(fresh),
        previous_hash=previous,
    )
    block.hash = block_hash(block, fresh)
    block.save(force_insert=True)
    Record.objects.filter(pk__in=[one.pk for one in fresh]).update(block=block)
    return block


def _team_of(target: models.Model) -> str | None:
    if target._meta.label_lower == "teams.team":
        return str(target.pk)
    return getattr(target, "team_id", None)
