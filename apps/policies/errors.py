"""Refusals that a team's policies give."""

from apps.core.errors import Conflict, NotPermitted


class PolicyRefused(NotPermitted):
    """A policy of the team does not allow it; `gates` in the context says which and how much is left."""

    code = "policy_refused"


class QuotaExceeded(PolicyRefused):
    code = "quota_exceeded"


class PolicyInUse(Conflict):
    code = "policy_in_use"
