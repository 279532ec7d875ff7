"""Volumes and snapshots are seen by their team and by their region's staff."""

from django.db import migrations

from apps.core.tenancy import row_security


class Migration(migrations.Migration):
    dependencies = [("storage", "0001_initial")]

    operations = [
        row_security("storage_volume", region="region_id"),
        row_security("storage_snapshot", region="region_id"),
    ]
