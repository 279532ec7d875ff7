"""Endpoints are counted too: the default policy says how many."""

from django.db import migrations

MOST = 100


def limit_endpoints(apps, _schema_editor):
    limit = apps.get_model("policies", "ResourceLimit")
    for policy in apps.get_model("policies", "ResourcePolicy").objects.filter(is_default=True):
        limit.objects.get_or_create(
            policy=policy,
            level="global",
            target="",
            metric="endpoints",
            defaults={"access": "restricted", "maximum": MOST},
        )


class Migration(migrations.Migration):
    dependencies = [("policies", "0002_defaults")]

    operations = [migrations.RunPython(limit_endpoints, migrations.RunPython.noop, elidable=False)]
