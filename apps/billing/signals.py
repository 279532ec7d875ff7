"""What billing tells those above it."""

from django.dispatch import Signal

headroom_lost = Signal()
"""Sent with `resource_id`, `team_id` and `budget` (the name of the budget in the way; "": the balance) when
the grace period of a resource that cannot be paid for has run out; sent again, some seconds apart, until its
meter ends or falls to rates that can be paid."""
