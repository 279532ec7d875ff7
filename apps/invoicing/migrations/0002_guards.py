"""Row security: a team sees what it was billed, and nobody else's."""

from django.db import migrations

from apps.core.tenancy import row_security

TEAM_TABLES = (
    "invoicing_billingprofile",
    "invoicing_invoice",
    "invoicing_invoiceline",
    "invoicing_invoicedusage",
    "invoicing_creditnote",
)


class Migration(migrations.Migration):
    dependencies = [("invoicing", "0001_initial")]

    operations = [row_security(table) for table in TEAM_TABLES]
