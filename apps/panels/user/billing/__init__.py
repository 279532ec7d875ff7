"""A team's invoices, payments and cards in the Console."""
