"""Writes: what teams use of their quotas, and the policies themselves."""

from apps.policies.services.quotas import check, consume, free

__all__ = ["check", "consume", "free"]
