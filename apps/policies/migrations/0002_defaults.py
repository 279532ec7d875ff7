"""The policies that new teams get, an unlimited resource policy for the platform's own, row security."""

from django.db import migrations

from apps.core.ids import new_id
from apps.core.tenancy import row_security

STANDARD = {"instances": 100, "vcpus": 2048, "memory_mib": 16 * 1024 * 1024, "disk_gib": 200_000, "gpu:*": 64}


def make_defaults(apps, _schema_editor):
    resource = apps.get_model("policies", "ResourcePolicy")
    limit = apps.get_model("policies", "ResourceLimit")
    standard = resource.objects.create(
        id=new_id("rpo"),
        slug="standard",
        name="Standard",
        description="Room for a working team; each region may be limited further.",
        is_default=True,
    )
    limit.objects.bulk_create(
        limit(policy=standard, level="global", target="", metric=metric, access="restricted", maximum=maximum)
        for metric, maximum in STANDARD.items()
    )
    resource.objects.create(
        id=new_id("rpo"), slug="unlimited", name="Unlimited", description="No limits but capacity and money."
    )
    for model, prefix, name in (
        ("PricingPolicy", "ppo", "List price"),
        ("ServicePolicy", "spo", "All services"),
        ("InstanceTypePolicy", "tpo", "All instance types"),
        ("ImagePolicy", "ipo", "All images"),
    ):
        apps.get_model("policies", model).objects.create(
            id=new_id(prefix), slug="standard", name=name, is_default=True
        )


class Migration(migrations.Migration):
    dependencies = [("policies", "0001_initial")]

    operations = [
        migrations.RunPython(make_defaults, migrations.RunPython.noop, elidable=False),
        row_security("policies_assignment"),
        row_security("policies_quotausage"),
    ]
