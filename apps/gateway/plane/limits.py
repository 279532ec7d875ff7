"""Requests per minute and tokens per day on four levels, counted for all workers in one Redis script.

A window opens with its first request and lasts a minute (tokens: a day); so two workers need no common clock.
A request is counted on all levels or on none. Tokens are counted when an answer ends: the request that
crosses the line is finished, the next one is refused.
"""

import hashlib
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import hiredis

from apps.gateway.messages import LEVELS
from apps.gateway.plane.redis import AWAY, Redis, command
from apps.gateway.plane.refusals import Refusal, refusal
from apps.gateway.plane.tables import Key

DAY_MS = 86_400_000
# A key asks for many at once when it is hot and so far from every limit that nobody is refused for it.
BATCH = 32
FAR = 50 * BATCH
HOT_SECONDS = 0.02

CHECK = b"""
local asked, window = tonumber(ARGV[1]), ARGV[2]
local used = redis.call('MGET', unpack(KEYS))
local tight, left = 0, -1
for i = 1, 8 do
  local limit, have = tonumber(ARGV[i + 2]), tonumber(used[i] or '0')
  if limit >= 0 then
    local after = i <= 4 and have + asked or have + 1
    if after > limit then return {i, limit, math.max(0, limit - have), redis.call('PTTL', KEYS[i])} end
    if i <= 4 and (left < 0 or limit - after < left) then tight, left = i, limit - after end
  end
end
for i = 1, 4 do
  if tonumber(ARGV[i + 2]) >= 0 then
    if redis.call('INCRBY', KEYS[i], asked) == asked then redis.call('PEXPIRE', KEYS[i], window) end
  end
end
if tight == 0 then return {0, -1, -1, 0} end
return {0, tonumber(ARGV[tight + 2]), left, redis.call('PTTL', KEYS[tight])}
"""
SPEND = b"""
for i = 1, 4 do
  if redis.call('INCRBY', KEYS[i], ARGV[2]) == tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[i], ARGV[1])
  end
end
return 0
"""
_CHECK_SHA, _SPEND_SHA = (hashlib.sha1(one, usedforsecurity=False).hexdigest() for one in (CHECK, SPEND))
GREETING = [command("SCRIPT", "LOAD", CHECK), command("SCRIPT", "LOAD", SPEND)]


class Verdict(NamedTuple):
    """Whether a request may go on; `headers` tell the caller where it stands."""

    refusal: Refusal | None
    headers: bytes = b""


Decided = Callable[[Verdict], None]
PASSED = Verdict(None)


class Limiter:
    """Decides whether a key may ask now."""

    def __init__(self, redis: Redis):
        self._redis = redis
        self.window_ms = 60_000
        self.without_redis = "share"
        self.sharers = 1
        self._shares: dict[str, list[float]] = {}
        self._leases: dict[str, _Lease] = {}
        self._owed: dict[Key, int] = {}  # tokens that Redis has not been told of: it hears when it is back

    def passes(self, key: Key, now: float) -> bool:
        """Whether the next request of the key is counted already; else `check` has to ask."""
        lease = self._leases.get(key.row.id)
        return lease is not None and lease.take(now) and self._redis.is_there

    def check(self, key: Key, decided: Decided) -> None:
        """Count one request of the key."""
        if not self._redis.is_there:
            decided(self._alone(key))
            return
        if key in self._owed:
            self._flush(key)
        lease = self._leases.get(key.row.id)
        asked = lease.wanted() if lease is not None else 1
        raw = key.check if asked == 1 else b""
        if not raw:
            raw = self._check_command(key, asked)
            if asked == 1:
                key.check = raw
        self._redis.call(raw, lambda answer: self._decide(key, asked, answer, decided))

    def _check_command(self, key: Key, asked: int) -> bytes:
        subjects = _subjects(key)
        keys = [f"gateway:rpm:{one}" for one in subjects] + [f"gateway:tpd:{one}" for one in subjects]
        limits = (*key.row.requests, *key.row.tokens)
        return command("EVALSHA", _CHECK_SHA, 8, *keys, asked, self.window_ms, *limits)

    def _decide(self, key: Key, asked: int, answer: Any, decided: Decided) -> None:
        if answer is AWAY or isinstance(answer, hiredis.HiredisError):
            decided(self._alone(key))
            return
        level, limit, left, wait_ms = answer
        if level == 0:
            self._note(key, asked, limit, left, wait_ms)
            decided(Verdict(None, _headers(limit, left, wait_ms)))
        elif asked > 1:
            self._leases.pop(key.row.id, None)
            self.check(key, decided)
        else:
            decided(_refused(level, limit, wait_ms))

    def _note(self, key: Key, asked: int, limit: int, left: int, wait_ms: int) -> None:
        """Remember what was leased, and which keys are worth a lease."""
        lease = self._leases.get(key.row.id)
        if limit >= 0 and left < FAR:
            if lease is not None:
                del self._leases[key.row.id]
            return
        if lease is None:
            lease = self._leases[key.row.id] = _Lease()
        lease.granted(asked - 1, self.window_ms if limit < 0 else wait_ms)

    # Tokens.

    def spend(self, key: Key, tokens: int) -> None:
        """Count tokens; they are sent along with what is asked next, or at the next look."""
        self._owed[key] = self._owed.get(key, 0) + tokens

    def look(self) -> None:
        """Send what is pending, and forget what is over."""
        if self._redis.is_there:
            for key in list(self._owed):
                self._flush(key)
        now = time.monotonic()
        for key_id in [one for one, lease in self._leases.items() if lease.is_over(now)]:
            del self._leases[key_id]

    def _flush(self, key: Key) -> None:
        tokens = self._owed.pop(key)
        if not key.spend:
            keys = [f"gateway:tpd:{one}" for one in _subjects(key)]
            key.spend = command("EVALSHA", _SPEND_SHA, 4, *keys, DAY_MS, "").removesuffix(b"$0\r\n\r\n")
        number = b"%d" % tokens
        self._redis.tell(b"%b$%d\r\n%b\r\n" % (key.spend, len(number), number))

    # Without Redis.

    def _alone(self, key: Key) -> Verdict:
        """This worker's share of each limit, or what the policy says instead."""
        if self.without_redis == "open":
            return PASSED
        if self.without_redis == "closed":
            return Verdict(refusal("limits_away"))
        now = time.monotonic()
        shares = []
        for level, (subject, limit) in enumerate(zip(_subjects(key), key.row.requests, strict=True), 1):
            share = self._shares.setdefault(subject, [0.0, 0.0])
            if now >= share[0]:
                share[:] = [now + self.window_ms / 1000, 0.0]
            if 0 <= limit <= share[1] * self.sharers:
                return _refused(level, limit, int((share[0] - now) * 1000))
            shares.append(share)
        for share in shares:
            share[1] += 1
        return PASSED


class _Lease:
    """Requests of one hot key that are counted already."""

    __slots__ = ("asked_at", "ends_at", "is_hot", "left")

    def __init__(self) -> None:
        self.left, self.ends_at, self.asked_at, self.is_hot = 0, 0.0, 0.0, False

    def take(self, now: float) -> bool:
        if self.left and now < self.ends_at:
            self.left -= 1
            return True
        self.left = 0
        return False

    def wanted(self) -> int:
        """Many, when the last time was a moment ago."""
        now = time.monotonic()
        self.is_hot = now - self.asked_at < HOT_SECONDS * (BATCH if self.is_hot else 1)
        self.asked_at = now
        return BATCH if self.is_hot else 1

    def granted(self, more: int, wait_ms: int) -> None:
        self.left += more
        self.ends_at = time.monotonic() + max(wait_ms, 0) / 1000

    def is_over(self, now: float) -> bool:
        return now - self.asked_at > 10.0


def _subjects(key: Key) -> tuple[str, str, str, str]:
    row = key.row
    return "platform", row.team_id, row.workspace_id, row.id


def _headers(limit: int, left: int, wait_ms: int) -> bytes:
    if limit < 0:
        return b""
    return (
        b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-remaining-requests: %d\r\n"
        b"x-ratelimit-reset-requests: %ds\r\n" % (limit, max(left, 0), _seconds(wait_ms))
    )


def _refused(level: int, limit: int, wait_ms: int) -> Verdict:
    name, wait = LEVELS[(level - 1) % 4], _seconds(wait_ms)
    of = {"platform": "the platform", "key": "this API key"}.get(name, f"the {name}")
    if level > 4:
        words = f"The tokens of the day are used up: {limit} for {of}."
        headers = b"x-ratelimit-limit-tokens: %d\r\nx-ratelimit-remaining-tokens: 0\r\n" % limit
        headers += b"x-ratelimit-reset-tokens: %ds\r\n" % wait
    else:
        words = f"Too many requests: {limit} a minute for {of}."
        headers = _headers(limit, 0, wait_ms)
    code = "tokens_used_up" if level > 4 else "rate_limited"
    level_header = f"x-ratelimit-level: {name}\r\nretry-after: {wait}\r\n".encode()
    return Verdict(refusal(code, words).with_headers(level_header + headers))


def _seconds(milliseconds: int) -> int:
    return max(1, math.ceil(milliseconds / 1000))
