"""Upward news of regions and clusters."""

from django.dispatch import Signal

# A cluster is about to be retired: `cluster` (locked). Receivers raise Conflict while it is in use.
cluster_retiring = Signal()
