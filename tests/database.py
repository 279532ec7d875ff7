"""A database for one test process, copied from a template migrated once per state of migrations."""

import hashlib
import json
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections, transaction
from psycopg import sql

from tests import plugin

ROOT = Path(__file__).resolve().parent.parent
LOCK = 0x686F7374
MIGRATED = "migrated"
OWNED = re.compile(r"^test_[a-z0-9]+_(\d+)_[0-9a-f]+$")


def fingerprint() -> str:
    """Changes whenever a migration, or something that migrations run, does."""
    digest = hashlib.sha256("\n".join(settings.INSTALLED_APPS).encode())
    files = sorted(ROOT.glob("apps/**/migrations/*.py"))
    for path in [*files, ROOT / "apps/core/tenancy.py", ROOT / "requirements.txt"]:
        digest.update(str(path.relative_to(ROOT)).encode())
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:12]


def _drop(server: psycopg.Connection, name: str) -> None:
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _names(server: psycopg.Connection, prefix: str) -> list[str]:
    rows = server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [prefix])
    return [str(row[0]) for row in rows]


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _sweep(server: psycopg.Connection) -> None:
    """Drop the databases of test processes that were killed."""
    for name in _names(server, "test_"):
        found = OWNED.match(name)
        if found and not _is_alive(int(found[1])):
            _drop(server, name)


def _is_migrated(server: psycopg.Connection, name: str) -> bool:
    row = server.execute(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [name]
    ).fetchone()
    return row is not None and row[0] == MIGRATED


def _create(server: psycopg.Connection, name: str, template: str) -> None:
    statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY file_copy")
    owner = settings.DATABASES["default"]["USER"]
    server.execute(statement.format(sql.Identifier(name), sql.Identifier(owner), sql.Identifier(template)))


def _point_at(name: str) -> None:
    connections.close_all()
    connection.settings_dict["NAME"] = name
    settings.DATABASES["default"]["NAME"] = name


def _ensure_template(server: psycopg.Connection, template: str) -> None:
    if _is_migrated(server, template):
        return
    for stale in _names(server, "template_"):
        _drop(server, stale)
    _create(server, template, "template0")
    _point_at(template)
    call_command("migrate", verbosity=0, interactive=False)
    connections.close_all()
    server.execute(
        sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(template), sql.Literal(MIGRATED))
    )


def migrated_rows() -> dict[str, str]:
    """What the migrations wrote, as JSON by table."""
    with connection.cursor() as cursor:
        kept = {}
        for table in connection.introspection.table_names(cursor):
            if table != "django_migrations":
                quoted = connection.ops.quote_name(table)
                cursor.execute(f"SELECT json_agg(t) FROM {quoted} AS t")
                if (rows := cursor.fetchone()[0]) is not None:
                    kept[quoted] = rows if isinstance(rows, str) else json.dumps(rows)
        return kept


def put_back(kept: dict[str, str]) -> None:
    """Write them again, where a test that committed has emptied the tables: a statement per table."""
    with transaction.atomic(), connection.cursor() as cursor:
        for table, rows in kept.items():
            cursor.execute(
                f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s)"
                " ON CONFLICT DO NOTHING",
                [rows],
            )


@contextmanager
def own_database(super_url: str) -> Iterator[str]:
    """Create a migrated database, let Django use it, and drop it in the end."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    name = f"test_{worker}_{os.getpid()}_{secrets.token_hex(3)}"
    before = connection.settings_dict["NAME"]
    with psycopg.connect(super_url, autocommit=True) as server:
        server.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        _sweep(server)
        template = f"template_{fingerprint()}"
        _ensure_template(server, template)
        _create(server, name, template)
    _point_at(name)
    try:
        yield name
    finally:
        _point_at(before)
        with psycopg.connect(super_url, autocommit=True) as server:
            _drop(server, name)


def copy_to(super_url: str, programs: Path) -> None:
    """Bring what the migrations make to a database of another server, by PostgreSQL's own programs."""
    known = plugin.services()
    assert known is not None, plugin.NO_SERVICES
    source = known["environment"]["DATABASE_SUPER_URL"].rpartition("/")[0]
    template = f"{source}/template_{fingerprint()}"
    dump = subprocess.run([programs / "pg_dump", "-d", template], check=True, capture_output=True)
    restore = [programs / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", super_url]
    subprocess.run(restore, input=dump.stdout, check=True, capture_output=True)


def prepare() -> None:
    """Migrate the template ahead of the tests: what that takes is the time of none of them."""
    known = plugin.services()
    assert known is not None, plugin.NO_SERVICES
    with psycopg.connect(known["environment"]["DATABASE_SUPER_URL"], autocommit=True) as server:
        server.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        _ensure_template(server, f"template_{fingerprint()}")


if __name__ == "__main__":
    django.setup()
    prepare()
