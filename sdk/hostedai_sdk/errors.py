"""What can go wrong for whoever calls: one class for each thing that one would do about it."""

from typing import Any


class HostedaiError(Exception):
    """The sentence is for people."""


class Unreachable(HostedaiError):
    """Nobody answers at the address, after several tries."""


class Failed(HostedaiError):
    """What was asked for was accepted and did not come about."""


class TooLong(HostedaiError):
    """It is still under way when the time to wait is over."""


class ApiError(HostedaiError):
    """The API refused. `code` is stable; `problem` is the whole problem document (RFC 9457)."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code", "unknown"))
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        said = str(self.problem.get("detail") or self.problem.get("title") or f"status {self.status}")
        errors = self.problem.get("errors") or []
        fields = [
            f"{one.get('field')}: {one.get('detail')}"
            for one in errors
            if one.get("field") and one.get("detail") != said
        ]
        return " ".join([said, "; ".join(fields)]).strip()


class BadKey(ApiError):
    """401: there is no such key, or it has ended."""


class PaymentNeeded(ApiError):
    """402: the balance or a budget does not cover it."""


class NotPermitted(ApiError):
    """403: the key may not do this."""


class NotFound(ApiError):
    """404: there is no such thing, or it is not for this key to see."""


class Conflict(ApiError):
    """409: look again; something else came first."""


class Invalid(ApiError):
    """400 or 422: change the request; `problem["errors"]` names the fields."""


class Later(ApiError):
    """429 or 503: try again later."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: BadKey,
    402: PaymentNeeded,
    403: NotPermitted,
    404: NotFound,
    409: Conflict,
    422: Invalid,
    429: Later,
    503: Later,
}


def refusal(status: int, problem: dict[str, Any]) -> ApiError:
    """The error of that status."""
    return _BY_STATUS.get(status, ApiError)(status, problem)
