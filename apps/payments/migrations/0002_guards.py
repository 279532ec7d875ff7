"""Row security: a team sees its own payments, and nobody else's."""

from django.db import migrations

from apps.core.tenancy import row_security

TEAM_TABLES = (
    "payments_paymentcustomer",
    "payments_paymentmethod",
    "payments_autotopup",
    "payments_payment",
    "payments_refund",
    "payments_dispute",
)


class Migration(migrations.Migration):
    dependencies = [("payments", "0001_initial")]

    operations = [row_security(table) for table in TEAM_TABLES]
