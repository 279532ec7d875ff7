"""Rated usage in one shape: hours for what is charged by time, units for what is counted."""

from django.db import migrations

VIEW = """
CREATE VIEW billing_rated WITH (security_invoker = true) AS
SELECT id, team_id, workspace_id, resource_id, product, unit,
       CASE WHEN interval_id IS NULL THEN quantity ELSE round(quantity * seconds / 3600, 12) END AS quantity,
       unit_price, amount, started_at, version_id, transaction_id
  FROM billing_ratedusage
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_tokens")]

    operations = [migrations.RunSQL(VIEW, "DROP VIEW billing_rated")]
