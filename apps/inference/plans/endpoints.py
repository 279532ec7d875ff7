"""Which replicas an endpoint makes and which it lets go, and where that leaves it. Pure.

A rolling update makes a new replica before it lets an old one go, a few at a time; a canary has replicas of
its own; what is revoked, about to be taken away or sick for long does not count and is replaced.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from apps.inference.states import COMING, LIVE, EndpointState, ReplicaState

GIVE_UP_AFTER = 3  # launches in a row that failed


@dataclass(frozen=True, slots=True)
class Unit:
    """A replica, as far as its endpoint is concerned. Of several, earlier ones come first."""

    id: str
    revision: str
    state: ReplicaState
    is_wanted: bool = True
    is_spot: bool = False
    is_leaving: bool = False  # noticed by its provider, or sick for long
    is_released: bool = False

    @property
    def is_live(self) -> bool:
        return self.is_wanted and self.state in LIVE

    @property
    def is_ready(self) -> bool:
        return self.is_wanted and self.state == ReplicaState.READY


@dataclass(frozen=True, slots=True)
class Shape:
    """What is wanted. `least` is below how many ready ones it counts as degraded."""

    revision: str
    wanted: int
    least: int = 1
    canary: str | None = None
    weight: int = 0  # percent of the requests
    revoked: frozenset[str] = frozenset()
    spot_percent: int = 0
    may_launch: bool = True
    may_use_spot: bool = True
    is_deleting: bool = False


@dataclass(frozen=True, slots=True)
class New:
    revision: str
    is_spot: bool


@dataclass(frozen=True, slots=True)
class Moves:
    create: tuple[New, ...] = ()
    drain: tuple[str, ...] = ()


def targets(shape: Shape) -> dict[str, int]:
    """How many of each revision there shall be in the end."""
    if shape.is_deleting or shape.wanted == 0:
        return {}
    trying = 0
    if shape.canary and shape.canary not in shape.revoked:
        trying = max(1, round(shape.wanted * shape.weight / 100))
    wanted = {shape.canary: trying} if shape.canary and trying else {}
    if shape.revision not in shape.revoked:
        wanted[shape.revision] = max(1, shape.wanted - trying)
    return wanted


def moves(shape: Shape, units: Sequence[Unit]) -> Moves:
    """What to do now: creations and the replicas to let go."""
    wanted = targets(shape)
    live = [unit for unit in units if unit.is_live]
    good = [unit for unit in live if not unit.is_leaving and unit.revision not in shape.revoked]
    going = [unit for unit in live if unit not in good]
    keep: list[Unit] = []
    old = [unit for unit in good if unit.revision not in wanted]
    for revision, count in wanted.items():
        mine = sorted((unit for unit in good if unit.revision == revision), key=_worth)
        keep += mine[:count]
        old += mine[count:]
    going += _dispensable(old, keep, sum(wanted.values()))
    room = sum(wanted.values()) + _surge(shape) - (len(keep) + len(old))
    create = _lacking(shape, wanted, keep)[: max(room, 0)] if shape.may_launch else []
    return Moves(tuple(create), tuple(unit.id for unit in going))


def standing(shape: Shape, units: Sequence[Unit], before: EndpointState, failures: int) -> str | None:
    """The event that takes the endpoint from where it was to where this leaves it; None: it stays."""
    if shape.is_deleting:
        if before != EndpointState.DELETING:
            return "delete"
        return "vanish" if all(unit.is_released for unit in units) else None
    after = _state(shape, units, before, failures)
    return None if after == before else _EVENTS[after]


def is_settled(shape: Shape, units: Sequence[Unit]) -> bool:
    """Whether everything is as wanted and nothing of what was before is left."""
    wanted = targets(shape)
    ready = [unit.revision for unit in units if unit.is_ready]
    others = [unit for unit in units if not unit.is_released and unit.revision not in wanted]
    return not others and all(ready.count(revision) >= count for revision, count in wanted.items())


def _state(shape: Shape, units: Sequence[Unit], before: EndpointState, failures: int) -> EndpointState:
    ready = sum(unit.is_ready for unit in units)
    if shape.wanted == 0:
        return before if any(unit.is_live for unit in units) else EndpointState.SCALED_TO_ZERO
    if ready >= max(1, min(shape.least, shape.wanted)):
        return EndpointState.READY
    if before == EndpointState.READY or failures >= GIVE_UP_AFTER or not targets(shape):
        return EndpointState.DEGRADED
    return EndpointState.DEPLOYING if before == EndpointState.SCALED_TO_ZERO else before


def _worth(unit: Unit) -> tuple[bool, bool]:
    """What to keep first: what serves, then what is on its way; the older before the younger."""
    return (not unit.is_ready, unit.state in COMING)


def _dispensable(old: Sequence[Unit], keep: Sequence[Unit], needed: int) -> list[Unit]:
    """Of those that there need not be: what does not serve, and as many as others serve for."""
    serving = [unit for unit in old if unit.is_ready]
    spare = sum(unit.is_ready for unit in keep) + len(serving) - needed
    idle = [unit for unit in old if not unit.is_ready]
    return idle + serving[: max(spare, 0)]


def _surge(shape: Shape) -> int:
    """How many more than wanted there may be during an update."""
    return max(1, shape.wanted // 4)


def _lacking(shape: Shape, wanted: dict[str, int], keep: Sequence[Unit]) -> list[New]:
    spot = sum(unit.is_spot for unit in keep)
    goal = sum(wanted.values()) * shape.spot_percent // 100 if shape.may_use_spot else 0
    lacking = []
    for revision, count in wanted.items():
        for _one in range(count - sum(unit.revision == revision for unit in keep)):
            lacking.append(New(revision, spot < goal))
            spot += spot < goal
    return lacking


_EVENTS = {
    EndpointState.DEPLOYING: "deploy",
    EndpointState.READY: "serve",
    EndpointState.DEGRADED: "degrade",
    EndpointState.SCALED_TO_ZERO: "sleep",
}
