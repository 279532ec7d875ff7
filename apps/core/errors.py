"""What can go wrong for a caller, told apart by who must act next."""

from typing import Any, ClassVar


class DomainError(Exception):
    """A refusal we expected; `code` is stable and part of the API contract.

    `field` names the input at fault where there is one; `context` is for the log and, where it
    is JSON, for the problem document.
    """

    code: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        **context: Any,
    ):
        super().__init__(message)
        self.message = message
        self.reason = code or self.code
        self.field = field
        self.context = context


class Invalid(DomainError):
    """The caller changes the request."""

    code = "invalid"


class NotPermitted(DomainError):
    """The caller asks an owner."""

    code = "not_permitted"


class NotFound(DomainError):
    """Absent, or none of the caller's business: the two are never told apart."""

    code = "not_found"


class Conflict(DomainError):
    """The caller looks again."""

    code = "conflict"


class PaymentRequired(DomainError):
    """The caller pays."""

    code = "payment_required"


class Unavailable(DomainError):
    """The caller waits; `retry_after` (seconds) may stand in the context."""

    code = "unavailable"
