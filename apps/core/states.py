"""A state machine written as a table, and the one way to move a row along it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from apps.core.errors import Conflict


class IllegalTransition(Conflict):
    code = "illegal_transition"


@dataclass(frozen=True, slots=True)
class Machine:
    """Maps (event, source) to target; nothing else decides what may follow what."""

    table: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def of(cls, *rows: tuple[str, Iterable[str], str]) -> "Machine":
        return cls(
            {(event, str(source)): str(target) for event, sources, target in rows for source in sources}
        )

    def target(self, event: str, source: str) -> str:
        """The state that `event` leads to; raises IllegalTransition where the table has no row."""
        try:
            return self.table[event, str(source)]
        except KeyError:
            raise IllegalTransition(
                f"Cannot {event} while {source}.", event=event, source=str(source)
            ) from None

    def allows(self, event: str, source: str) -> bool:
        return (event, str(source)) in self.table

    def edges(self) -> list[tuple[str, str]]:
        """The (source, target) pairs, as a database trigger wants them."""
        return sorted({(source, target) for (_, source), target in self.table.items()})
