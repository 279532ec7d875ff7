"""An explanation is of the amounts that differ; those given before are of no amounts and ask to be given anew."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("payments", "0003_explanations"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="explanation",
            name="payments_explained_once",
        ),
        migrations.AddField(
            model_name="explanation",
            name="ledger_says",
            field=models.CharField(blank=True, max_length=60, verbose_name="we have booked"),
        ),
        migrations.AddField(
            model_name="explanation",
            name="provider_says",
            field=models.CharField(blank=True, max_length=60, verbose_name="the provider says"),
        ),
        migrations.AddConstraint(
            model_name="explanation",
            constraint=models.UniqueConstraint(
                fields=("provider", "kind", "source", "provider_says", "ledger_says"),
                name="payments_explained_once",
            ),
        ),
    ]
