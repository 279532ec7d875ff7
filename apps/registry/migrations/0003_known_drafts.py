"""Entries of the catalogue, whose files nobody has fetched yet, are seen by those who may use the model."""

from django.db import migrations

SEEN = "model_id IN (SELECT seen.id FROM registry_model AS seen)"
FROZEN = "state IN ('servable', 'deprecated', 'revoked', 'retired')"
KNOWN = f"({FROZEN} OR (state = 'draft' AND source <> ''))"


class Migration(migrations.Migration):
    dependencies = [("registry", "0002_upload_progress")]

    operations = [
        migrations.RunSQL(
            f'ALTER POLICY offered ON "registry_modelversion" USING ({KNOWN} AND {SEEN})',
            f'ALTER POLICY offered ON "registry_modelversion" USING ({FROZEN} AND {SEEN})',
        ),
    ]
