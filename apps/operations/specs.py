"""What an operation is about and how it will go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from apps.operations.states import Plane


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One line of the timeline; `is_done` for what happened before the operation was accepted."""

    name: str
    plane: Plane
    detail: str = ""
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class OperationPlan:
    """`deadline` counts from acceptance; past it whoever opened the operation undoes and fails it."""

    kind: str  # "instance.create"
    steps: tuple[StepPlan, ...]
    deadline: timedelta | None = None
    is_cancellable: bool = False
    params: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """What the operation works on, and in whose scopes it is seen."""

    type: str  # "instance"
    id: str
    name: str
    team_id: str | None = None
    workspace_id: str | None = None
    region_id: str | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """One entry for the outbox; `subject` is the typed id of what it happened to."""

    type: str  # "instance.running"
    subject: str
    team_id: str | None = None
    region_id: str | None = None
    data: Mapping[str, object] = field(default_factory=dict)
    workspace_id: str | None = None  # None: not of one workspace, so its keys do not see it


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller was told, kept so that a repeated request is told the same."""

    status: int
    body: object
    is_replay: bool = False
