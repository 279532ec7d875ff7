"""Events that lie ahead wait for their moment."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_base_fee_and_credit_order")]

    operations = [
        migrations.AddField(
            "unratedevent",
            "at",
            models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
    ]
