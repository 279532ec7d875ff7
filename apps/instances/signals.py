"""Upward news."""

from django.dispatch import Signal

# An instance changed state: `instance`, `event`. Sent inside the transaction.
instance_changed = Signal()
