"""The steward: one per host. Keeps workers running and supplied, settles what they have done."""
