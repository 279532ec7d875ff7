"""What instances refuse."""

from apps.core.errors import Conflict, Invalid, NotPermitted, Unavailable


class Refused(Unavailable):
    """A launch that cannot be placed now; the context carries the whole explanation."""

    code = "launch_refused"


class WrongState(Conflict):
    """What is asked does not fit the state the instance is in."""

    code = "wrong_state"


class Busy(Conflict):
    """Another operation on the instance is still open."""

    code = "instance_busy"


class NameTaken(Conflict):
    code = "name_taken"


class BadShape(Invalid):
    """Type, image and disk do not go together."""

    code = "shape_invalid"


class BadTicket(NotPermitted):
    """Unknown, used, expired, or meant for another place."""

    code = "ticket_invalid"
