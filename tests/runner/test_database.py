"""The tests' own database is what the product's is: owned by a role that row security binds."""

import pytest
from django.db import connection


@pytest.mark.django_db
def test_the_role_is_bound_by_row_security():
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False, False)
        cursor.execute("SELECT current_database()")
        assert cursor.fetchone()[0].startswith("test_")
