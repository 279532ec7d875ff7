"""What a worker counts; plain sums that the steward adds up and shows."""

from bisect import bisect_left

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
MOST_LABELS = 2000
_OTHER = "other"


class Metrics:
    """Counters by name and label; `name|label` is how they travel."""

    def __init__(self) -> None:
        self.counters: dict[str, float] = {}
        self._known: set[str] = set()

    def add(self, name: str, label: str, value: float = 1.0) -> None:
        if label not in self._known:
            if len(self._known) >= MOST_LABELS:
                label = _OTHER
            self._known.add(label)
        kind = f"{name}|{label}"
        self.counters[kind] = self.counters.get(kind, 0.0) + value

    def refused(self, code: str) -> None:
        self.add("refusals", code)

    def observe(self, name: str, label: str, seconds: float) -> None:
        """One more in a histogram."""
        at = bisect_left(BUCKETS, seconds)
        bucket = str(BUCKETS[at]) if at < len(BUCKETS) else "+Inf"
        self.add(f"{name}_bucket", f"{label},{bucket}")
        self.add(f"{name}_sum", label, seconds)
