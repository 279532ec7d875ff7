from django.db import migrations, models

# Who is short now has been so since then, as far as is known.
KNOWN = "UPDATE billing_meter SET unpaid_since = short_since WHERE short_since IS NOT NULL"


class Migration(migrations.Migration):
    dependencies = [("billing", "0015_providers_in_full")]
    operations = [
        migrations.AddField(model_name="meter", name="unpaid_since", field=models.DateTimeField(null=True)),
        migrations.RunSQL(KNOWN, migrations.RunSQL.noop),
    ]
