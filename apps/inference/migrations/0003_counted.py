"""Endpoints that are there when they begin to be counted against the quota."""

from collections import Counter

from django.db import migrations


def count_endpoints(apps, _schema_editor):
    there = apps.get_model("inference", "Endpoint").objects.exclude(state="deleted").exclude(team=None)
    used = Counter()
    for team, region in there.values_list("team_id", "region_id"):
        used[team, "global", ""] += 1
        used[team, "region", region] += 1
    usage = apps.get_model("policies", "QuotaUsage")
    usage.objects.bulk_create(
        usage(team_id=team, level=level, target=target, metric="endpoints", used=count)
        for (team, level, target), count in used.items()
    )


class Migration(migrations.Migration):
    dependencies = [("inference", "0002_limits"), ("policies", "0003_endpoints")]

    operations = [migrations.RunPython(count_endpoints, migrations.RunPython.noop, elidable=False)]
