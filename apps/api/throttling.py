"""A token bucket per caller, in Redis; without Redis everybody passes. Who is nobody counts by address."""

import math
import time
from dataclasses import dataclass

import redis
import structlog
from django.conf import settings
from rest_framework.exceptions import Throttled

log = structlog.get_logger(__name__)

# After Redis failed to answer it is left alone for a while, so that its absence costs requests nothing.
QUIET_SECONDS = 5.0

_TAKE = """
local now = redis.call('TIME')
local at = now[1] + now[2] / 1000000
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local known = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if known[1] then tokens = math.min(burst, tonumber(known[1]) + (at - tonumber(known[2])) * rate) end
local taken = 0
if tokens >= 1 then tokens = tokens - 1; taken = 1 end
redis.call('HSET', KEYS[1], 'tokens', tokens, 'at', at)
redis.call('EXPIRE', KEYS[1], math.ceil(burst / rate) + 1)
return {taken, tostring(tokens)}
"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left to a caller after this request."""

    limit: int
    remaining: int
    reset_seconds: int

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }


class Bucket:
    """Hands out `rate` tokens a second to each caller, `burst` at most at once."""

    def __init__(self, url: str, rate: float, burst: int, *, patience: float = 0.2):
        self.rate, self.burst = rate, burst
        self._redis = redis.Redis.from_url(url, socket_connect_timeout=patience, socket_timeout=patience)
        self._quiet_until = 0.0

    def take(self, caller: str) -> Allowance | None:
        """One token, or Throttled; None when nobody keeps count."""
        if time.monotonic() < self._quiet_until:
            return None
        try:
            taken, left = self._redis.eval(_TAKE, 1, f"api:bucket:{caller}", str(self.rate), str(self.burst))
        except redis.RedisError as error:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            log.warning("rate_limit_off", error=str(error))
            return None
        tokens = float(left)
        if not int(taken):
            raise Throttled(wait=math.ceil((1 - tokens) / self.rate))
        return Allowance(self.burst, int(tokens), math.ceil((self.burst - tokens) / self.rate))


_buckets: dict[tuple[str, float, int], Bucket] = {}


def take(caller: str) -> Allowance | None:
    """Count one request of the caller, as the settings say; a rate of 0 counts nothing."""
    return _take(caller, float(settings.API_RATE_PER_SECOND), int(settings.API_RATE_BURST))


def take_unknown(address: str | None) -> None:
    """Count a request that could not say whose it is; Throttled when the address sends too many of them."""
    rate, burst = float(settings.API_UNKNOWN_RATE_PER_SECOND), int(settings.API_UNKNOWN_RATE_BURST)
    _take(f"address:{address or ''}", rate, burst)


def _take(caller: str, rate: float, burst: int) -> Allowance | None:
    if rate <= 0:
        return None
    kind = (str(settings.REDIS_URL), rate, burst)
    if kind not in _buckets:
        _buckets[kind] = Bucket(*kind, patience=settings.API_RATE_PATIENCE_SECONDS)
    return _buckets[kind].take(caller)
