"""Taking in usage events from programs: each known once, for good, in one transaction with its dedupe key."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection, transaction
from django.utils.translation import gettext as _

from apps.billing.meters import BadEvent, Report, key_of, read_event
from apps.billing.services import quarantine
from apps.billing.services.quarantine import Refused
from apps.billing.states import QuarantineReason
from apps.core import statements
from apps.core.actor import Actor, team_scope
from apps.core.clock import db_now
from apps.core.errors import Invalid
from apps.core.failpoints import failpoint
from apps.core.ids import decode, encode, new_uuid
from apps.core.permissions import Permission

MOST_EVENTS = 1000
_attributes = msgspec.json.Encoder()

_COLUMNS = (
    "id uuid, key_hash bytea, payload_hash bytea, team_id uuid, workspace_id uuid, source text,"
    " event_id text, meter text, product text, resource_id text, quantity numeric, at timestamptz,"
    " attributes jsonb, supersedes uuid"
)
_NAMES = ", ".join(column.split()[0] for column in _COLUMNS.split(","))
_KINDS = [column.split()[1] for column in _COLUMNS.split(",")]
_ARRAYS = ", ".join(f"%s::{kind}[]" for kind in _KINDS)

# In the order of the keys, so that two batches with the same events wait for each other, not both.
_INSERT = f"""
WITH new AS (
    INSERT INTO billing_usageevent ({_NAMES})
    SELECT * FROM unnest({_ARRAYS}) AS rows ({_NAMES}) ORDER BY key_hash
    ON CONFLICT DO NOTHING RETURNING id, team_id, key_hash, at
), queued AS (INSERT INTO billing_unratedevent (event_id, team_id, at) SELECT id, team_id, at FROM new)
SELECT key_hash, id FROM new
"""  # noqa: S608 - made of this page

_KNOWN = "SELECT key_hash, payload_hash, id FROM billing_usageevent WHERE key_hash = ANY(%s)"
_PLACES = "SELECT team_id, id FROM teams_workspace WHERE team_id = ANY(%s) ORDER BY team_id, id"


class Status(StrEnum):
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one event: `id` is ours when it is known, `reason` stable, `detail` for people."""

    status: Status
    id: str | None = None
    reason: str = ""
    detail: str = ""


@dataclass(slots=True)
class Intake:
    """A batch on its way in: what was understood, under which place, and the results so far."""

    raws: Sequence[Any]
    results: list[Result | None]
    reports: dict[bytes, tuple[int, Report]] = field(default_factory=dict)
    again: list[tuple[int, Report]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    def reject(self, place: int, reason: str, detail: str) -> None:
        self.results[place] = Result(Status.REJECTED, None, reason, detail)

    def repeat(self, place: int, report: Report, *, is_same: bool, known: UUID) -> None:
        """An event whose key is known: a duplicate, or other content that a person must look at."""
        ours = encode("uev", known)
        if is_same:
            self.results[place] = Result(Status.DUPLICATE, ours)
            return
        self.results[place] = Result(
            Status.CONFLICT, ours, "conflict", "This id was used for other content; it has been set aside."
        )
        self.refused.append(_conflict(report, self.raws[place]))


def ingest(*, actor: Actor, events: Sequence[Any], now: datetime | None = None) -> list[Result]:
    """Take in up to 1,000 events; a result for each, in their order. May be repeated as a whole.

    Accepted ones are charged soon after. What is refused leaves no trace; a known id with other content
    changes nothing and is quarantined.
    """
    if not actor.scopes(Permission.USAGE_INGEST, "team"):
        actor.require(Permission.USAGE_INGEST)
    if len(events) > MOST_EVENTS:
        raise Invalid(_("At most %(most)s events at a time.") % {"most": MOST_EVENTS}, field="events")
    intake = Intake(events, [None] * len(events))
    _read(intake, now or db_now())
    with transaction.atomic():
        rows = _rows(actor, intake)
        _insert(intake, rows)
        failpoint("billing.events.inserted")
        quarantine.put(intake.refused)
    failpoint("billing.events.accepted")
    return [result for result in intake.results if result is not None]


def _read(intake: Intake, now: datetime) -> None:
    for place, raw in enumerate(intake.raws):
        try:
            report = read_event(raw, now)
        except BadEvent as bad:
            intake.reject(place, bad.reason, str(bad))
            continue
        first = intake.reports.setdefault(report.key, (place, report))
        if first[0] != place:
            intake.again.append((place, report))


def _rows(actor: Actor, intake: Intake) -> dict[bytes, tuple[Any, ...]]:
    """The reports as rows; those of unknown or other people's teams and of unknown targets are rejected."""
    workspaces = _workspaces(actor, {report.team_id for _place, report in intake.reports.values()})
    targets = _targets(report for _place, report in intake.reports.values())
    rows = {}
    for key, (place, report) in intake.reports.items():
        found = workspaces.get(report.team_id)
        workspace = _workspace_of(report, found) if found else None
        target = targets.get(key)
        if found is None or workspace is None:
            intake.reject(place, "unknown_team", "There is no such team or workspace.")
        elif report.supersedes is not None and target is None:
            intake.reject(place, "unknown_event", "There is no event to be superseded under that id.")
        else:
            rows[key] = _row(report, found[0], workspace, target)
    return rows


def _row(report: Report, team: UUID, workspace: UUID, target: UUID | None) -> tuple[Any, ...]:
    what = (report.source, report.event_id, report.meter.key, report.product, report.resource)
    about = (report.quantity, report.at, _attributes.encode(report.attributes).decode(), target)
    return (new_uuid(), report.key, report.content, team, workspace, *what, *about)


def _workspaces(actor: Actor, team_ids: Iterable[str]) -> dict[str, tuple[UUID, list[UUID]]]:
    """By team that the actor may report for: its id and its workspaces, the oldest first."""
    asked = {}
    for team_id in team_ids:
        try:
            uuid = decode("team", team_id)
        except ValueError:
            continue
        if actor.can(Permission.USAGE_INGEST, team_scope(team_id)):
            asked[uuid] = team_id
    found: dict[str, tuple[UUID, list[UUID]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_PLACES, [list(asked)])
        for team, workspace in cursor.fetchall():
            found.setdefault(asked[team], (team, []))[1].append(workspace)
    return found


def _workspace_of(report: Report, found: tuple[UUID, list[UUID]]) -> UUID | None:
    """The workspace that the event names, which must be the team's; the oldest when it names none."""
    if report.workspace_id is None:
        return found[1][0]
    try:
        wanted = decode("wks", report.workspace_id)
    except ValueError:
        return None
    return wanted if wanted in found[1] else None


def _targets(reports: Iterable[Report]) -> dict[bytes, UUID]:
    """By the key of the event that corrects: which event it corrects."""
    wanted = {
        report.key: key_of(report.team_id, report.source, report.supersedes)
        for report in reports
        if report.supersedes is not None
    }
    known = {key: ours for key, _content, ours in _known(list(wanted.values()))} if wanted else {}
    return {key: known[target] for key, target in wanted.items() if target in known}


def _known(keys: list[bytes]) -> list[tuple[bytes, bytes, UUID]]:
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, [keys])
        return [(bytes(key), bytes(content), ours) for key, content, ours in cursor.fetchall()]


def _insert(intake: Intake, rows: Mapping[bytes, tuple[Any, ...]]) -> None:
    """Write what is new; tell duplicates and conflicts by what stands under their keys."""
    stands = _write(rows)
    for key, (_content, ours) in stands.items():
        intake.results[intake.reports[key][0]] = Result(Status.ACCEPTED, encode("uev", ours))
    missing = [key for key in rows if key not in stands]
    if missing:
        stands |= {key: (content, ours) for key, content, ours in _known(missing)}
    for place, report in [intake.reports[key] for key in missing] + intake.again:
        if report.key in stands:
            content, ours = stands[report.key]
            intake.repeat(place, report, is_same=content == report.content, known=ours)
        elif report.key in rows:
            intake.reject(place, "superseded", "That event has been superseded already.")
        else:
            intake.results[place] = intake.results[intake.reports[report.key][0]]


def _write(rows: Mapping[bytes, tuple[Any, ...]]) -> dict[bytes, tuple[bytes, UUID]]:
    """The keys that were new, each with its content and our id."""
    if not rows:
        return {}
    new = statements.fetch_all(_INSERT, statements.arrays(_KINDS, rows.values()))
    return {key: (rows[key][2], ours) for key, ours in new}


def _conflict(report: Report, raw: Any) -> Refused:
    return Refused(
        report.source, report.event_id, report.team_id, report.meter.key, QuarantineReason.CONFLICT, dict(raw)
    )
