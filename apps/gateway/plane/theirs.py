"""How an external provider's answer becomes the caller's: as any other, once it is spelled our way."""

from typing import NamedTuple

from apps.gateway import usage
from apps.gateway.flights import Slot
from apps.gateway.plane.providers import Provider
from apps.gateway.plane.relay import MOST_EVENT, Answering, Stream, Whole


class Theirs(NamedTuple):
    """Who answers, under which name, and with how many tokens at most: nobody pays for more."""

    provider: Provider
    name: str
    most: int

    def told(self, data: bytes) -> bytes:
        return self.provider.told(data, self.name)

    def counted(self, counts: usage.Counts | None) -> usage.Counts | None:
        return counts and (counts[0], counts[1], min(counts[2], self.most))


class TheirWhole(Whole):
    """A provider's answer in one piece."""

    __slots__ = ("_theirs",)

    def __init__(self, exchange: Answering, theirs: Theirs):
        super().__init__(exchange)
        self._theirs = theirs

    def end(self, status: int, kind: bytes, headers: bytes) -> usage.Counts | None:
        self._parts = [self._theirs.told(b"".join(self._parts))]
        return self._theirs.counted(super().end(status, kind, headers))


class TheirStream(Stream):
    """A provider's events."""

    __slots__ = ("_rest", "_theirs")

    def __init__(self, exchange: Answering, slot: Slot, theirs: Theirs, *, hides_usage: bool, keeps: bool):
        super().__init__(exchange, slot, hides_usage=hides_usage, keeps=keeps)
        self._theirs, self._rest = theirs, b""

    def take(self, data: bytes) -> bool:
        data = (self._rest + data).replace(b"\r\n", b"\n")
        cut = data.rfind(b"\n\n") + 2
        if cut < 2:
            self._rest = data
            return len(data) <= MOST_EVENT
        self._rest = data[cut:]
        return super().take(self._told(data[:cut]))

    def end(self, status: int, kind: bytes, headers: bytes) -> usage.Counts | None:
        rest, self._rest = self._rest.rstrip(), b""
        if rest:
            super().take(self._told(rest + b"\n\n"))
        return super().end(status, kind, headers)

    def counts(self) -> usage.Counts | None:
        return self._theirs.counted(super().counts())

    def _told(self, events: bytes) -> bytes:
        return b"\n".join(map(self._line, events.split(b"\n")))

    def _line(self, line: bytes) -> bytes:
        if not line.startswith(b"data:"):
            return line
        said = line[5:].strip()
        return b"data: " + (self._theirs.told(said) if said[:1] == b"{" else said)


class TheirResponseStream(TheirStream):
    """A provider's events of the Responses API."""

    __slots__ = ()

    def _note(self, data: bytes) -> None:
        super()._note(usage.own_only(data))
