"""Who may see which rows, twice: a queryset filter, and row security in PostgreSQL beneath it.

A process starts with the scope that `DB_SCOPE` gives its connections: nothing for the portal,
`*` for workers and commands. A request narrows or widens it to its actor and resets it after.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import connection, migrations, models
from django.db.models import Q

from apps.core import statements
from apps.core.actor import Actor
from apps.core.ids import decode
from apps.core.permissions import Permission

EVERYTHING = "*"


class TenantQuerySet(models.QuerySet[Any]):
    """Rows that belong to a team, a region or both; subclasses say by which columns."""

    read_permission: ClassVar[Permission]
    team_path: ClassVar[str | None] = "team_id"
    workspace_path: ClassVar[str | None] = None
    region_path: ClassVar[str | None] = None

    def visible_to(self, actor: Actor, permission: Permission | None = None) -> Self:
        """The rows on which the actor holds the permission (by default: to read them)."""
        wanted = permission or self.read_permission
        allowed = Q(pk__in=[])
        for kind, path in (("team", self.team_path), ("region", self.region_path)):
            if path is None:
                continue
            ids = actor.scopes(wanted, kind)
            if EVERYTHING in ids:
                allowed = Q()
                break
            if ids:
                allowed |= Q(**{f"{path}__in": sorted(ids)})
        if actor.workspace_id and self.workspace_path:
            allowed &= Q(**{self.workspace_path: actor.workspace_id})
        return self.filter(allowed)


def enter(actor: Actor) -> None:
    """Let this connection see what the actor may have anything to do with."""
    if actor.is_staff or actor.kind == "system":
        _write(EVERYTHING, "", actor.user_id)
    else:
        _write(
            _uuids("team", actor.ids("team")),
            _uuids("reg", actor.ids("region")),
            actor.user_id,
        )


def enter_as_user(user_id: str | None) -> None:
    """See only what belongs to one person: enough to learn which teams and regions are theirs."""
    _write("", "", user_id)


def see_everything() -> None:
    """See all rows until the next `enter` or `leave`; for the moment before an API key is known."""
    _write(EVERYTHING, "", None)


def leave() -> None:
    """Back to what the process started with; nothing to do where nothing was opened."""
    if getattr(connection, "hostedai_scoped", False):
        _write(settings.DB_SCOPE, "", None)
        connection.hostedai_scoped = connection.needs_rollback  # type: ignore[attr-defined]


def since() -> int:
    """The oldest transaction that was open when the scope was last set: what older ones did, whoever reads
    after that has seen."""
    return getattr(connection, "hostedai_since", 0)


def include(team_id: str) -> None:
    """Also see one more team: the one that this request has just made or joined."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('hostedai.teams', CASE WHEN s IN ('', '*') THEN coalesce(nullif(s, ''), %s)"
            " ELSE s || ',' || %s END, false)"
            " FROM (SELECT coalesce(current_setting('hostedai.teams', true), '') AS s) AS t",
            [str(decode("team", team_id))] * 2,
        )


@contextmanager
def everything() -> Iterator[None]:
    """See all rows for the length of the block; for lookups that come before anybody is known."""
    before = _read()
    _write(EVERYTHING, "", None)
    try:
        yield
    finally:
        _write(*before)


@contextmanager
def as_actor(actor: Actor) -> Iterator[None]:
    """See what the actor may see for the length of the block; for threads outside a request."""
    before = _read()
    enter(actor)
    try:
        yield
    finally:
        _write(*before)


def _uuids(prefix: str, ids: frozenset[str]) -> str:
    return ",".join(sorted(str(decode(prefix, one)) for one in ids))


def _read() -> tuple[str, str, str | None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(current_setting('hostedai.teams', true), ''),"
            " coalesce(current_setting('hostedai.regions', true), ''),"
            " nullif(current_setting('hostedai.usr', true), '')"
        )
        row = cursor.fetchone()
    return row[0], row[1], row[2]


def _write(teams: str, regions: str, user_id: str | None) -> None:
    if connection.needs_rollback:
        return
    connection.hostedai_scoped = True  # type: ignore[attr-defined]
    user = str(decode("usr", user_id)) if user_id and user_id.startswith("usr_") else user_id or ""
    written = statements.fetch_one(
        "SELECT set_config('hostedai.teams', %s, false), set_config('hostedai.regions', %s, false),"
        " set_config('hostedai.usr', %s, false), pg_snapshot_xmin(pg_current_snapshot())::text",
        [teams, regions, user],
    )
    connection.hostedai_since = int(written[3])  # type: ignore[attr-defined]


def row_security(
    table: str,
    *,
    team: str | None = "team_id",
    region: str | None = None,
    user: str | None = None,
) -> migrations.RunSQL:
    """The migration operation that makes PostgreSQL itself hide a table's foreign rows.

    A row is visible by its team, its region or its person, whichever columns are named. The table's
    owner is held to it too. A NULL team is seen only by those who see everything. Each setting is read
    by a subquery: once per statement instead of once per row, and without misleading the planner.
    """
    clauses = ["(SELECT current_setting('hostedai.teams', true) = '*')"]
    if team:
        clauses.append(
            f"{team} = ANY((SELECT string_to_array(nullif(current_setting('hostedai.teams', true), '*'),"
            " ',')::uuid[])::uuid[])"
        )
    if region:
        clauses.append(
            f"{region} = ANY((SELECT string_to_array(current_setting('hostedai.regions', true),"
            " ',')::uuid[])::uuid[])"
        )
    if user:
        clauses.append(f"{user} = (SELECT nullif(current_setting('hostedai.usr', true), '')::uuid)")
    rule = " OR ".join(clauses)
    return migrations.RunSQL(
        f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY; ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY;'
        f' CREATE POLICY tenant ON "{table}" USING ({rule}) WITH CHECK ({rule});',
        f'DROP POLICY tenant ON "{table}"; ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY;'
        f' ALTER TABLE "{table}" DISABLE ROW LEVEL SECURITY;',
    )
