"""What Django cannot say: the chains, the sum of a transaction's postings, and row security."""

from django.db import migrations

from apps.core.tenancy import row_security

PRICES_ARE_A_CHAIN = """
ALTER TABLE billing_priceversion ADD CONSTRAINT billing_price_chain
    FOREIGN KEY (product, currency, previous_until)
    REFERENCES billing_priceversion (product, currency, valid_until);
"""

INTERVALS_ARE_A_CHAIN = """
ALTER TABLE billing_usageinterval ADD CONSTRAINT billing_interval_chain
    FOREIGN KEY (resource_id, previous_end)
    REFERENCES billing_usageinterval (resource_id, ended_at);
"""

# It looks at every posting, whatever the session may see: half a transaction has no sum.
POSTINGS_BALANCE = """
CREATE FUNCTION billing_postings_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    scope text := coalesce(current_setting('hostedai.teams', true), '');
    total numeric;
BEGIN
    IF scope <> '*' THEN PERFORM set_config('hostedai.teams', '*', true); END IF;
    SELECT sum(amount) INTO total FROM billing_posting WHERE transaction_id = NEW.transaction_id;
    IF scope <> '*' THEN PERFORM set_config('hostedai.teams', scope, true); END IF;
    IF total IS DISTINCT FROM 0 THEN
        RAISE EXCEPTION 'the postings of transaction % do not add up to zero', NEW.transaction_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'billing_postings_balance';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER billing_postings_balance AFTER INSERT ON billing_posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_postings_balance();
"""

TEAM_TABLES = (
    "billing_account",
    "billing_transaction",
    "billing_posting",
    "billing_wallet",
    "billing_hold",
    "billing_meter",
    "billing_meterchange",
    "billing_usageinterval",
    "billing_ratedusage",
    "billing_usageday",
)


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [
        migrations.RunSQL(
            PRICES_ARE_A_CHAIN, "ALTER TABLE billing_priceversion DROP CONSTRAINT billing_price_chain;"
        ),
        migrations.RunSQL(
            INTERVALS_ARE_A_CHAIN, "ALTER TABLE billing_usageinterval DROP CONSTRAINT billing_interval_chain;"
        ),
        migrations.RunSQL(
            POSTINGS_BALANCE,
            "DROP TRIGGER billing_postings_balance ON billing_posting; DROP FUNCTION billing_postings_balance();",
        ),
        *(row_security(table) for table in TEAM_TABLES),
    ]
