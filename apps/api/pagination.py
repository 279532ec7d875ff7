"""Lists, one page at a time: the cursor is the key of the last row, so that no page skips or repeats."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.core.errors import Invalid

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
PARAMETERS = frozenset({"limit", "cursor"})


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows in order, and where the next ones begin (None: there are no more)."""

    rows: Sequence[Any]
    next_cursor: str | None


def paginate(
    queryset: QuerySet[Any],
    given: Mapping[str, Any],
    *,
    newest_first: bool = True,
    columns: Sequence[str] = (),
) -> Page:
    """The asked-for page of the queryset, ordered by primary key; raises Invalid.

    With `columns` the rows are mappings, and the page's keys are found before anything is joined: else
    PostgreSQL may join the whole of a long list, whose row security it cannot estimate, and sort the result.
    """
    limit = read_limit(given)
    order = "-pk" if newest_first else "pk"
    if cursor := given.get("cursor"):
        queryset = queryset.filter(**{"pk__lt" if newest_first else "pk__gt": _read_cursor(queryset, cursor)})
    page: QuerySet[Any] = queryset.order_by(order)[: limit + 1]
    if columns:
        whole: QuerySet[Any] = queryset.model._default_manager.filter(pk__in=page.values("pk"))
        page = whole.order_by(order).values(*columns)
    rows = list(page)
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], write_cursor(_key(rows[limit - 1])))


def read_limit(given: Mapping[str, Any]) -> int:
    text = given.get("limit", str(DEFAULT_LIMIT))
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= MAX_LIMIT or len(text) > 9:
        raise Invalid(_("`limit` is a number from 1 to 1000."), field="limit", code="invalid_limit")
    return int(text)


def write_cursor(key: object) -> str:
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def _read_cursor(queryset: QuerySet[Any], cursor: str) -> Any:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        key = queryset.model._meta.pk.to_python(text)
        queryset.model._meta.pk.run_validators(key)
    except (ValueError, binascii.Error, ValidationError) as error:
        raise Invalid(_("This is no cursor of this list."), field="cursor", code="invalid_cursor") from error
    return key


def _key(row: Any) -> object:
    """The primary key of a row, or of the tuple or mapping that stands for one."""
    if isinstance(row, Mapping):
        return row["id"] if "id" in row else row["pk"]
    return row[0] if isinstance(row, tuple) else row.pk
