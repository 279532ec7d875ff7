"""Upward news."""

from django.dispatch import Signal

# Somebody asked for an open operation to be called off: `operation`, `actor`. Sent inside the
# transaction; whoever opened the operation undoes what was done and ends it.
cancel_requested = Signal()
