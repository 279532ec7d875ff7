"""The fee of a pricing policy; and credit is assigned in the order of postings instead of their dates."""

import django.db.models.deletion
from django.db import migrations, models

# Where each wallet stands, in the new way: the last posting that lies before the moment it stood at.
CARRY_OVER = """
UPDATE billing_wallet w SET credit_used_posting = s.last FROM (
    SELECT p.account_id, max(p.id) AS last FROM billing_posting p
      JOIN billing_transaction t ON t.id = p.transaction_id
      JOIN billing_wallet w ON w.account_id = p.account_id
     WHERE t.booked_at < w.credit_used_until GROUP BY p.account_id) s
 WHERE w.account_id = s.account_id
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0011_provider_cost"), ("teams", "0002_key_models")]

    operations = [
        migrations.AddField("fee", "is_base", models.BooleanField(db_default=False, editable=False)),
        migrations.AddConstraint(
            "fee",
            models.UniqueConstraint(
                fields=["team"], condition=models.Q(is_base=True, ends_on=None), name="billing_fee_one_base"
            ),
        ),
        migrations.AddField(
            "wallet", "credit_used_posting", models.BigIntegerField(db_default=0, editable=False)
        ),
        migrations.RunSQL(CARRY_OVER, migrations.RunSQL.noop),
        migrations.RemoveField("wallet", "credit_used_until"),
        migrations.AlterField(
            "posting",
            "account",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="postings",
                to="billing.account",
            ),
        ),
        migrations.AddIndex(
            "posting", models.Index(fields=["account", "id"], name="billing_posting_account")
        ),
    ]
