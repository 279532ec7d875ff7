from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_credit_used")]

    operations = [
        migrations.AddField(
            model_name="meter",
            name="proven_until",
            field=models.DateTimeField(null=True),
        ),
    ]
