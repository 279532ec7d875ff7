"""What endpoints refuse."""

from apps.core.errors import Conflict, Invalid, Unavailable


class NoEngines(Unavailable):
    """Nothing in the region can run this just now."""

    code = "no_engines"


class BadEndpoint(Invalid):
    """Model, hardware and region do not go together."""

    code = "endpoint_invalid"


class NameTaken(Conflict):
    code = "name_taken"


class WrongState(Conflict):
    """What is asked does not fit the state the endpoint is in."""

    code = "wrong_state"


class Busy(Conflict):
    """Another operation on the endpoint is still open."""

    code = "endpoint_busy"
