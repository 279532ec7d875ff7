"""What an operation is about and how it will go; where readers of the outbox are, and what they want."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.utils.translation import gettext as _

from apps.drivers.egress import Networks, is_url, may_name
from apps.operations.errors import BadHook
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


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader is: everything up to and with this event has been read."""

    txid: int
    seq: int

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """A position as it stands in `Last-Event-ID`; None when it is none."""
        txid, _dash, seq = text.partition("-")
        fine = all(part.isascii() and part.isdecimal() and len(part) <= 18 for part in (txid, seq))
        return cls(int(txid), int(seq)) if fine else None

    def __str__(self) -> str:
        return f"{self.txid}-{self.seq}"


LONGEST_URL, MOST_TYPES = 500, 50
_TYPE = re.compile(r"\*|[a-z][a-z_]{0,30}\.(\*|[a-z][a-z_]{0,40})")


@dataclass(frozen=True, slots=True)
class HookWish:
    """A webhook as it is asked for. `types`: `budget.*` all of a kind, `invoice.paid` one, `*` everything."""

    name: str
    url: str
    types: Sequence[str]


def check_hook(wish: HookWish, known: Networks) -> HookWish:
    """The wish in its one spelling; refuses what cannot be sent to, or leads where we must not go."""
    name, url, types = wish.name.strip(), wish.url.strip(), tuple(sorted(set(wish.types)))
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise BadHook(_("A webhook's name has 1 to 80 characters."), field="name")
    if not is_url(url) or len(url) > LONGEST_URL:
        raise BadHook(_("This is no address to send to: https://example.com/path."), field="url")
    if not may_name(url, known):
        raise BadHook(_("Events are sent to public addresses over TLS (https) only."), field="url")
    if not types or len(types) > MOST_TYPES or not all(_TYPE.fullmatch(one) for one in types):
        raise BadHook(_("Name what it gets: “budget.*”, “invoice.paid”, or “*” for all."), field="types")
    return HookWish(name, url, types)
