import django.db.models.deletion
from django.db import migrations, models

import apps.core.ids
from apps.core.tenancy import row_security


class Migration(migrations.Migration):
    dependencies = [("inference", "0003_counted")]

    operations = [
        migrations.CreateModel(
            name="EngineLog",
            fields=[
                (
                    "replica",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="log",
                        serialize=False,
                        to="inference.replica",
                    ),
                ),
                ("team_id", apps.core.ids.IdField(editable=False, null=True, prefix="team")),
                ("text", models.TextField(blank=True, verbose_name="lines")),
                ("asked_at", models.DateTimeField(editable=False, null=True)),
                ("read_at", models.DateTimeField(editable=False, null=True, verbose_name="read")),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("asked_at", None), _negated=True),
                        fields=["asked_at"],
                        name="inference_log_asked",
                    )
                ],
            },
        ),
        row_security("inference_enginelog"),
    ]
