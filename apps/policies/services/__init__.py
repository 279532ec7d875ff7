"""Writes: what teams use of their quotas, the policies, and who is held to which."""

from apps.policies.services.assignments import assign_defaults, assign_policies, assign_policy
from apps.policies.services.policies import (
    create_policy,
    delete_policy,
    describe_policy,
    set_choice,
    set_limits,
    set_pricing,
)
from apps.policies.services.quotas import check, consume, free

__all__ = [
    "assign_defaults",
    "assign_policies",
    "assign_policy",
    "check",
    "consume",
    "create_policy",
    "delete_policy",
    "describe_policy",
    "free",
    "set_choice",
    "set_limits",
    "set_pricing",
]
