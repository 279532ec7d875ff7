"""Refusals about capacity."""

from apps.core.errors import Conflict, Unavailable


class PoolExhausted(Unavailable):
    """Nothing free fits; `rejected` (reason → nodes) and `nearest` in the context say why."""

    code = "no_capacity"


class SliceHeld(Conflict):
    """Somebody still uses what would be taken away."""

    code = "slice_held"
