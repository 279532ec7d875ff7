"""The outbox: what happened, written in the transaction in which it happened."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from apps.core import statements
from apps.core.ids import decode, new_uuid
from apps.operations.specs import Happening

# A transaction may take its number and then wait for another with a higher one, and go on from what that has
# done. So its events stand behind every transaction that had ended when they happened, whatever its number.
_INSERT = (
    "INSERT INTO operations_event"
    " (writer, txid, id, type, subject, team_id, region_id, workspace_id, at, data)"
    " SELECT (pg_current_xact_id())::text::bigint, greatest((pg_current_xact_id())::text::bigint,"
    " (pg_snapshot_xmax(pg_current_snapshot()))::text::bigint - 1), id, type, subject, team_id, region_id,"
    " workspace_id, clock_timestamp(), data::jsonb"
    " FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::uuid[], %s::uuid[], %s::uuid[], %s::text[])"
    " AS t(id, type, subject, team_id, region_id, workspace_id, data)"
)


def emit(
    *,
    type: str,
    subject: str,
    team_id: str | None = None,
    region_id: str | None = None,
    workspace_id: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Note one happening; readers get it when the surrounding transaction has committed."""
    emit_many([Happening(type, subject, team_id, region_id, data or {}, workspace_id)])


def emit_many(happenings: Sequence[Happening]) -> None:
    """Note several in one statement. Nothing is returned by the database, so that row security, which
    hides foreign rows from the writer too, does not refuse events outside the writer's scope."""
    if not happenings:
        return
    columns: list[Any] = [
        [new_uuid() for _each in happenings],
        [one.type for one in happenings],
        [str(one.subject) for one in happenings],
        [one.team_id and decode("team", one.team_id) for one in happenings],
        [one.region_id and decode("reg", one.region_id) for one in happenings],
        [one.workspace_id and decode("wks", one.workspace_id) for one in happenings],
        [json.dumps(dict(one.data), cls=DjangoJSONEncoder) for one in happenings],
    ]
    statements.run(_INSERT, columns)
