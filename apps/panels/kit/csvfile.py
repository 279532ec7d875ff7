"""CSV of exactly what a list shows, sent while it is read."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from apps.core import tenancy
from apps.core.actor import Actor
from apps.core.spreadsheets import harmless
from apps.panels.kit.columns import Column

CHUNK = 500


Complete = Callable[[Sequence[Any]], None]


def stream(
    view: Any,
    columns: Sequence[Column],
    rows: QuerySet[Any] | Sequence[Any],
    complete: Complete = lambda _rows: None,
) -> StreamingHttpResponse:
    """A streamed file named after the list and the day."""
    parts = _parts(view.actor, columns, rows, complete)
    body: Any = _in_a_thread(parts) if isinstance(view.request, ASGIRequest) else parts
    response = StreamingHttpResponse(body, content_type="text/csv; charset=utf-8")
    name = f"{view.request.resolver_match.url_name}-{timezone.now():%Y-%m-%d}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _parts(
    actor: Actor, columns: Sequence[Column], rows: QuerySet[Any] | Sequence[Any], complete: Complete
) -> Iterator[str]:
    # The request is over when this runs, so row security is opened anew for every chunk.
    yield _lines([[str(column.label) for column in columns]])
    start = 0
    while True:
        with tenancy.as_actor(actor):
            found = list(rows[start : start + CHUNK])
            complete(found)
            lines = [[harmless(column.plain(row)) for column in columns] for row in found]
        if lines:
            yield _lines(lines)
        if len(found) < CHUNK:
            return
        start += CHUNK


async def _in_a_thread(parts: Iterator[str]) -> AsyncIterator[str]:
    following = sync_to_async(lambda: next(parts, None))
    while (part := await following()) is not None:
        yield part


def _lines(rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()
