"""Hot statements: spelled once, parsed and planned by PostgreSQL once per connection.

What happens at every launch costs more in Django's query builder than in the database. These few functions
do what the ORM does with single rows of one table, and nothing else. Row security, constraints, triggers and
the counting of queries in tests hold here as anywhere.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from operator import attrgetter, methodcaller
from typing import Any, Generic, TypeVar

import msgspec
from django.conf import settings
from django.db import connection, models
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.models.expressions import DatabaseDefault

Row = TypeVar("Row", bound=models.Model)
Params = Sequence[Any] | Mapping[str, Any]


class _Prepared(ServerBindingCursor):
    """Binds on the server and lets it keep the plan."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        return super().execute(query, params, prepare=settings.DATABASE_PREPARE or None, **options)


def _execute(sql: str, params: Params) -> Any:
    """Run the statement by the connection's one cursor for all of them, which is read before the next."""
    connection.ensure_connection()
    raw: Any = connection.connection
    own = getattr(raw, "hostedai_cursor", None)
    if own is None or own.closed:
        own = raw.hostedai_cursor = _Prepared(raw)  # type: ignore[call-arg]
    cursor: Any = connection._prepare_cursor(own)  # type: ignore[attr-defined]
    cursor.execute(sql, params)
    return own


def fetch_one(sql: str, params: Params = ()) -> Any:
    """The first row, or None."""
    return _execute(sql, params).fetchone()


def fetch_all(sql: str, params: Params = ()) -> list[Any]:
    found: list[Any] = _execute(sql, params).fetchall()
    return found


def run(sql: str, params: Params = ()) -> int:
    """How many rows it touched."""
    return int(_execute(sql, params).rowcount)


def arrays(kinds: Sequence[str], rows: Collection[Sequence[Any]]) -> list[str]:
    """The columns of some rows as PostgreSQL spells arrays of these types, to be cast and unnested.

    Binding a list takes many times as long as this, and batches of thousands of rows live by it.
    """
    columns = zip(*rows, strict=True) if rows else ((),) * len(kinds)
    return [array(kind, values) for kind, values in zip(kinds, columns, strict=True)]


def array(kind: str, values: Collection[Any]) -> str:
    """One column of it."""
    if kind in _NUMBERS:
        return "{" + _json.encode(values)[1:-1].decode() + "}"
    return "{" + ",".join(spelled(kind, values)) + "}"


def spelled(kind: str, values: Collection[Any]) -> Iterable[str]:
    """Values of one type as they stand in an array; what is spelled already has the kind ""."""
    spell = _SPELLINGS.get(kind, str)
    if kind == "text":  # the same few words again and again
        words = {word: "NULL" if word is None else spell(word) for word in set(values)}
        return map(words.__getitem__, values)
    if None in values:
        return ["NULL" if value is None else spell(value) for value in values]
    return map(spell, values)


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


# Spelled as in JSON, null included, and ten times as fast that way.
_NUMBERS = frozenset({"integer", "bigint", "numeric", "boolean"})
_json = msgspec.json.Encoder(decimal_format="number")
_SPELLINGS: dict[str, Callable[[Any], str]] = {
    "uuid": attrgetter("hex"),
    "text": _quoted,
    "jsonb": _quoted,
    "bytea": lambda value: "\\\\x" + value.hex(),
    "timestamptz": methodcaller("isoformat"),
    "date": methodcaller("isoformat"),
}


class Columns(Generic[Row]):
    """All columns of a model: their spelling, and a row made of their values."""

    def __init__(self, model: type[Row]):
        self.model = model
        self.fields = model._meta.concrete_fields
        self.count = len(self.fields)
        self._names = [field.attname for field in self.fields]
        self._converters = [
            (position, convert)
            for position, field in enumerate(self.fields)
            for convert in _converters(field)
        ]
        self._key = self._names.index(model._meta.pk.attname)

    def spelled(self, alias: str) -> str:
        return ", ".join(f'{alias}."{field.column}"' for field in self.fields)

    def read(self, values: Sequence[Any], start: int = 0) -> Row | None:
        """The row whose columns begin there; None where an outer join found none."""
        mine = list(values[start : start + self.count])
        if mine[self._key] is None:
            return None
        for position, convert in self._converters:
            mine[position] = convert(mine[position], None, connection)
        return self.model.from_db(connection.alias, self._names, mine)


@lru_cache(maxsize=256)
def columns_of(model: type[Row]) -> Columns[Row]:
    return Columns(model)


def select(model: type[Row], condition: str, params: Params = ()) -> Row | None:
    """The first row that fulfils the condition, in SQL over the table `t`; None when there is none."""
    columns = columns_of(model)
    found = fetch_one(_select(model, condition), params)
    return columns.read(found) if found else None


def select_all(model: type[Row], condition: str, params: Params = ()) -> list[Row]:
    """All rows that fulfil the condition."""
    columns = columns_of(model)
    found = fetch_all(_select(model, condition), params)
    return [row for row in map(columns.read, found) if row is not None]


@lru_cache(maxsize=256)
def _select(model: type[models.Model], condition: str) -> str:
    return f'SELECT {columns_of(model).spelled("t")} FROM "{model._meta.db_table}" t WHERE {condition}'  # noqa: S608


def insert(row: models.Model) -> None:
    """Write a new row; what the database itself fills in is read back."""
    fields = row._meta.concrete_fields
    values = [field.pre_save(row, True) for field in fields]
    left = tuple(_is_left(field, value) for field, value in zip(fields, values, strict=True))
    given = [
        field.get_db_prep_save(value, connection)
        for field, value, is_left in zip(fields, values, left, strict=True)
        if not is_left
    ]
    filled = fetch_one(_insert(type(row), left), given)
    made = [field for field, is_left in zip(fields, left, strict=True) if is_left]
    for field, value in zip(made, filled, strict=False):
        for convert in _converters(field):
            value = convert(value, None, connection)
        setattr(row, field.attname, value)
    row._state.adding, row._state.db = False, connection.alias


def _converters(field: Any) -> list[Any]:
    """What makes Python's value of the database's; a foreign key's are those of the key it points to."""
    column = field.get_col(field.model._meta.db_table)
    return [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]


def _is_left(field: Any, value: Any) -> bool:
    """Whether the database fills it in."""
    return isinstance(value, DatabaseDefault) or (value is None and isinstance(field, models.AutoField))


@lru_cache(maxsize=256)
def _insert(model: type[models.Model], left: tuple[bool, ...]) -> str:
    fields = model._meta.concrete_fields
    given = [field.column for field, is_left in zip(fields, left, strict=True) if not is_left]
    back = [field.column for field, is_left in zip(fields, left, strict=True) if is_left]
    names = ", ".join(f'"{name}"' for name in given)
    returned = ", ".join(f'"{name}"' for name in back) or "1"
    marks = ", ".join(["%s"] * len(given))
    return f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES ({marks}) RETURNING {returned}'  # noqa: S608


def update(model: type[models.Model], where: Mapping[str, Any], changes: Mapping[str, Any]) -> int:
    """Change the rows whose fields have these values; how many there were.

    A `timedelta` for an instant means so long from now, by the database's clock.
    """
    later = frozenset(name for name, value in changes.items() if isinstance(value, timedelta))
    params = {f"is_{name}": _bound(model, name, value) for name, value in where.items()}
    params |= {f"to_{name}": _bound(model, name, value) for name, value in changes.items()}
    return run(_update(model, tuple(where), tuple(changes), later), params)


def _bound(model: type[models.Model], name: str, value: Any) -> Any:
    return value if isinstance(value, timedelta) else _field(model, name).get_db_prep_save(value, connection)


@lru_cache(maxsize=256)
def _update(
    model: type[models.Model], where: tuple[str, ...], changes: tuple[str, ...], later: frozenset[str]
) -> str:
    clock = dict.fromkeys(later, "clock_timestamp() + ")
    sets = [f'"{_field(model, name).column}" = {clock.get(name, "")}%(to_{name})s' for name in changes]
    tests = [f'"{_field(model, name).column}" = %(is_{name})s' for name in where]
    return f'UPDATE "{model._meta.db_table}" SET {", ".join(sets)} WHERE {" AND ".join(tests)}'  # noqa: S608


def _field(model: type[models.Model], name: str) -> Any:
    return model._meta.get_field(name)
