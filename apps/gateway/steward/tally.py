"""What this process has settled: sums per team for its figures, and which keys were used."""

import threading
import time
from collections import Counter
from collections.abc import Iterable

from django.conf import settings

from apps.billing.services.tokens import TokenUsage

OTHER = "other"
# How stale a key's last use may be in the books; a busy key costs one write in that time.
KEY_SECONDS = 60.0


class Tally:
    """Fed by every thread that settles.

    So many teams have figures of their own, the first to ask, which are the busy ones; the others are one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._named: set[str] = set()
        self._used: set[str] = set()
        self._written: dict[str, float] = {}
        self.teams: Counter[tuple[str, str]] = Counter()  # figure, team
        self.seconds = 0.0  # of processor time, for all of it

    def note(self, records: Iterable[TokenUsage]) -> None:
        """These have left the spool just now."""
        by_terms: dict[int, list[TokenUsage]] = {}
        for record in records:
            by_terms.setdefault(id(record.terms), []).append(record)
        with self._lock:
            for own in by_terms.values():
                terms, team = own[0].terms, self._name(own[0].terms.team_id)
                used = [one.input + one.cached + one.output + one.embedding for one in own]
                self.teams["team_requests", team] += len(own)
                self.teams["team_tokens", team] += sum(used)
                if terms.key_id:
                    self._used.add(terms.key_id)

    def note_time(self, seconds: float) -> None:
        """Settling took so much processor time."""
        with self._lock:
            self.seconds += seconds

    def _name(self, team_id: str) -> str:
        if team_id in self._named:
            return team_id
        if len(self._named) >= settings.GATEWAY_METRICS_TEAMS:
            return OTHER
        self._named.add(team_id)
        return team_id

    def keys_to_write(self) -> list[str]:
        """Keys that were used and of which that has not been written for a while."""
        now = time.monotonic()
        with self._lock:
            self._written = {key: at for key, at in self._written.items() if now - at < KEY_SECONDS}
            fresh = sorted(self._used - self._written.keys())
            self._used.clear()
            self._written |= dict.fromkeys(fresh, now)
        return fresh


tally = Tally()
