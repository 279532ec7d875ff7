"""What a driver may raise: `str(error)` is for the user, `error.detail` for the operator."""


class DriverError(Exception):
    """The far side did not do as asked; the subclass says what to do about it."""

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail or message


class Transient(DriverError):
    """Busy, unreachable, or the answer was lost: observe again, then ask again later."""


class NoCapacity(DriverError):
    """Nothing free that fits here; another cluster or pool might."""


class Rejected(DriverError):
    """The far side will never accept this; somebody must change the request."""


class BadCredentials(DriverError):
    """The operator must put the cluster's credentials right."""
