from django.db import migrations

from apps.core.tenancy import row_security

# A pool without a team is sold to everybody; only a team's own is nobody else's business.
SHARED = "CREATE POLICY shared ON gpupools_gpupool USING (team_id IS NULL) WITH CHECK (team_id IS NULL)"


class Migration(migrations.Migration):
    dependencies = [
        ("gpupools", "0001_initial"),
    ]

    operations = [
        row_security("gpupools_gpupool", region="region_id"),
        migrations.RunSQL(SHARED, "DROP POLICY shared ON gpupools_gpupool"),
        row_security("gpupools_reservation", region="region_id"),
    ]
