"""How many replicas there shall be, from what the gateway reports. Pure; times are seconds of one clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from apps.inference.states import ScaleMetric

FRESH = 15.0  # an older report of a gateway process counts for nothing
UP_COOLDOWN = 10.0  # between two steps up: what was added must first show
DOWN_COOLDOWN = 120.0  # so long must fewer have done before there are fewer
BUSY = 1.0  # tokens per second below which nothing is going on


@dataclass(frozen=True, slots=True)
class Load:
    """What is going on at an endpoint: requests being answered and waiting, tokens per second."""

    outstanding: int = 0
    queued: int = 0
    tokens_per_s: float = 0.0
    last_request_at: float = 0.0  # 0: never, as far as is known
    at: float = 0.0

    @property
    def is_idle(self) -> bool:
        return not self.outstanding and not self.queued


@dataclass(frozen=True, slots=True)
class Rules:
    """`target` is per replica, of the metric; `idle_seconds` 0 means that it never sleeps."""

    metric: ScaleMetric
    target: int
    least: int
    most: int
    idle_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds now. `active_at`: last request, or last woken. `low_since`: since when fewer would do."""

    wanted: int
    scaled_at: float | None = None
    active_at: float = 0.0
    low_since: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    wanted: int
    low_since: float | None = None
    reason: str = ""  # "", up, down, idle, wake, bounds


def add_up(reports: Iterable[Load], now: float) -> Load:
    """The reports of all gateway processes as one; stale ones do not count, but for the last request."""
    known = list(reports)
    fresh = [one for one in known if now - one.at <= FRESH]
    return Load(
        outstanding=sum(max(one.outstanding, 0) for one in fresh),
        queued=sum(max(one.queued, 0) for one in fresh),
        tokens_per_s=sum(max(one.tokens_per_s, 0.0) for one in fresh),
        last_request_at=max((one.last_request_at for one in known), default=0.0),
        at=now,
    )


def decide(rules: Rules, standing: Standing, load: Load | None, now: float) -> Verdict:
    """How many there shall be. `load` None: nobody knows, so nothing changes but the bounds."""
    inside = min(max(standing.wanted, rules.least), rules.most)
    if inside != standing.wanted:
        return Verdict(inside, None, "bounds")
    if load is None:
        return Verdict(standing.wanted, standing.low_since)
    if standing.wanted == 0:
        return Verdict(0) if load.is_idle else Verdict(min(1, rules.most), None, "wake")
    if _may_sleep(rules, standing, load, now):
        return Verdict(0, None, "idle")
    needed = min(max(_needed(rules, standing, load), rules.least, 1), rules.most)
    if needed > standing.wanted:
        rests = standing.scaled_at is not None and now - standing.scaled_at < UP_COOLDOWN
        return Verdict(standing.wanted) if rests else Verdict(needed, None, "up")
    if needed == standing.wanted:
        return Verdict(standing.wanted)
    since = now if standing.low_since is None else standing.low_since
    if now - since < DOWN_COOLDOWN:
        return Verdict(standing.wanted, since)
    return Verdict(needed, None, "down")


def _may_sleep(rules: Rules, standing: Standing, load: Load, now: float) -> bool:
    if rules.least or not rules.idle_seconds or not load.is_idle:
        return False
    return now - max(standing.active_at, load.last_request_at) >= rules.idle_seconds


def _needed(rules: Rules, standing: Standing, load: Load) -> int:
    match rules.metric:
        case ScaleMetric.TOKENS:
            return ceil(load.tokens_per_s / rules.target) if load.tokens_per_s > BUSY else 1
        case ScaleMetric.QUEUE:
            beyond = load.queued - rules.target * standing.wanted
            if beyond > 0:
                return standing.wanted + ceil(beyond / rules.target)
            return standing.wanted if load.queued or not load.is_idle else standing.wanted - 1
    return ceil((load.outstanding + load.queued) / rules.target)
