"""Bringing versions where they should be: imports, verification, removal, and litter in the store."""

from apps.registry.reconcilers.litter import sweep_litter
from apps.registry.reconcilers.passes import reconcile_due, reconcile_version

__all__ = ["reconcile_due", "reconcile_version", "sweep_litter"]
