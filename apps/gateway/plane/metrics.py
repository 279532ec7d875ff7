"""What a worker counts; plain sums that the steward adds up and shows."""

from bisect import bisect_left
from collections import Counter
from functools import partial

from apps.gateway.flights import OUTCOMES

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
MOST_LABELS = 2000
_OTHER = "other"
_NAMES = (*map(str, BUCKETS), "+Inf")
_bucket = partial(bisect_left, BUCKETS)


class Histogram:
    """How many were how long: `observe` notes seconds, which are sorted when somebody wants to know."""

    __slots__ = ("_counts", "_seen", "_total", "observe")

    def __init__(self) -> None:
        self._counts = [0] * len(_NAMES)
        self._total = 0.0
        self._seen: list[float] = []
        self.observe = self._seen.append

    def told(self, name: str, label: str) -> dict[str, float]:
        """Everything so far, as it travels."""
        self._total += sum(self._seen)
        for bucket, count in Counter(map(_bucket, self._seen)).items():
            self._counts[bucket] += count
        self._seen.clear()
        rows = zip(_NAMES, self._counts, strict=True)
        found = {f"{name}_bucket|{label},{bucket}": float(count) for bucket, count in rows if count}
        return found | {f"{name}_sum|{label}": self._total} if found else {}


class Meter:
    """What the requests of one model come to."""

    __slots__ = ("between", "duration", "first_byte", "input", "outcomes", "output")

    def __init__(self) -> None:
        self.outcomes = [0] * len(OUTCOMES)
        self.input = self.output = 0
        self.first_byte, self.between, self.duration = Histogram(), Histogram(), Histogram()

    def timed(self, began: float, heard: float, now: float, beats: int) -> None:
        """When it began, when its first byte came (0: never), when it ended; a stream's number of tokens."""
        if heard:
            self.first_byte.observe(heard - began)
            if beats > 1:
                self.between.observe((now - heard) / (beats - 1))
        self.duration.observe(now - began)

    def told(self, slug: str) -> dict[str, float]:
        rows = zip(OUTCOMES, self.outcomes, strict=True)
        found = {f"requests|{slug},{name}": float(count) for name, count in rows if count}
        found |= {f"tokens|{slug},input": float(self.input), f"tokens|{slug},output": float(self.output)}
        found |= self.first_byte.told("first_byte_seconds", slug)
        found |= self.between.told("between_seconds", slug)
        return found | self.duration.told("duration_seconds", slug)


class Metrics:
    """Counters by name and label; `name|label` is how they travel."""

    def __init__(self) -> None:
        self._counters: dict[str, float] = {}
        self._known: set[str] = set()
        self._meters: dict[str, Meter] = {}

    def meter_of(self, slug: str) -> Meter:
        """The meter of a model; there are as many as models were asked."""
        found = self._meters.get(slug)
        if found is None:
            found = self._meters[slug] = Meter()
        return found

    def told(self) -> dict[str, float]:
        """Everything, as it travels."""
        found = dict(self._counters)
        for slug, meter in self._meters.items():
            found |= meter.told(slug)
        return found

    def add(self, name: str, label: str, value: float = 1.0) -> None:
        if label not in self._known:
            if len(self._known) >= MOST_LABELS:
                label = _OTHER
            self._known.add(label)
        kind = f"{name}|{label}"
        self._counters[kind] = self._counters.get(kind, 0.0) + value

    def refused(self, code: str) -> None:
        self.add("refusals", code)
