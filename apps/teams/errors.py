"""What the tenancy refuses."""

from apps.core.errors import Conflict, DomainError, Invalid


class BadKey(DomainError):
    """The key is malformed, unknown, revoked, expired or used from elsewhere; the caller is nobody (401)."""

    code = "bad_key"


class LastAdmin(Conflict):
    """A team keeps at least one admin."""

    code = "last_admin"


class BadInvitation(Invalid):
    """Not an invitation, or one that was used, withdrawn or has run out."""

    code = "bad_invitation"


class ScopeExceeded(Invalid):
    """A key may do no more than its creator."""

    code = "scope_exceeded"
