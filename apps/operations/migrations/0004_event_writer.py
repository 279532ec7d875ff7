from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("operations", "0003_webhooks"),
    ]

    operations = [
        migrations.AddField(
            model_name="event",
            name="writer",
            field=models.BigIntegerField(editable=False, null=True),
        ),
    ]
