"""A page of 1,000 instances of a team that has 100,000, through the User API."""

import json
import time
from pathlib import Path

from benchmarks.stage import Installation, Report, installation, milliseconds

ROWS = 100_000
PAGE = 1000
ASKS = 60


def measure() -> Report:
    with installation(workers=1) as place:
        key = _prepare(place.folder)
        _ask(place, key)
        took, sizes = [], set()
        for _each in range(ASKS):
            began = time.perf_counter()
            count, size = _ask(place, key)
            took.append(time.perf_counter() - began)
            sizes.add((count, size))
        queries = {rows: _count_queries(rows) for rows in (10, PAGE)}
    report = Report("lists")
    report.figures = {
        "rows": ROWS,
        "page": PAGE,
        "p50_ms": milliseconds(took, 0.5),
        "p95_ms": milliseconds(took, 0.95),
        "bytes": max(size for _count, size in sizes),
        "items": sorted({count for count, _size in sizes}),
        "queries_by_page_size": queries,
    }
    report.goals = {"p95_ms": "≤ 80", "queries_by_page_size": "equal"}
    return report


def _prepare(folder: Path) -> str:
    from django.db import connection

    from tests.factories.instances import make_stage
    from tests.factories.teams import key_of

    stage = make_stage(folder, nodes=2, gpus=0, slug="bench")
    pattern = stage.running(name="pattern")
    _copy(pattern.pk)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE instances_instance")
    secret: str = key_of(stage.team).secret
    return secret


def _copy(instance_id: str) -> None:
    """100,000 rows like the one there is; the rows only, no machines."""
    from django.db import connection

    from apps.core.ids import decode
    from apps.instances.models import Instance

    changed = {
        "id": "uuidv7()",
        "name": "'vm-' || n",
        "due_at": "NULL",
        "released_at": "now()",
        "absence": "'{}'::jsonb",
        "state": "'stopped'",
    }
    columns = [field.column for field in Instance._meta.concrete_fields]
    values = [changed.get(column, f'i."{column}"') for column in columns]
    names = ", ".join(f'"{column}"' for column in columns)
    statement = (
        f"INSERT INTO instances_instance ({names}) SELECT {', '.join(values)}"
        " FROM instances_instance i, generate_series(1, %s) n WHERE i.id = %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [ROWS, decode("ins", instance_id)])


def _ask(place: Installation, key: str) -> tuple[int, int]:
    connection = place.client()
    connection.request(
        "GET", f"/api/user/v1/instances?limit={PAGE}", headers={"Authorization": f"Bearer {key}"}
    )
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body[:500]
    page = json.loads(body)
    items = next(value for value in page.values() if isinstance(value, list))
    return len(items), len(body)


def _count_queries(rows: int) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from apps.core.actor import SYSTEM
    from apps.instances.selectors import list_instances

    with CaptureQueriesContext(connection) as queries:
        for one in list_instances(actor=SYSTEM)[:rows]:
            assert one.region.slug
            assert one.type.slug
    return len(queries)
