"""The cache: Redis, and this process's own memory while Redis does not answer.

It counts attempts to sign in, which must neither stop with Redis nor stop being counted.
"""

import time
from collections.abc import Callable
from typing import Any, ClassVar

import redis
import structlog
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

log = structlog.get_logger(__name__)

QUIET_SECONDS = 5.0


class SteadyCache(RedisCache):
    """Nobody waits twice: after a failure Redis is left alone for a few seconds."""

    quiet_until: ClassVar[float] = 0.0

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._own = LocMemCache("steady", {name: kept for name, kept in params.items() if name != "OPTIONS"})

    def _ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= SteadyCache.quiet_until:
            try:
                return getattr(super(), name)(*args, **kwargs)
            except redis.RedisError as error:
                SteadyCache.quiet_until = time.monotonic() + QUIET_SECONDS
                log.warning("cache_without_redis", error=str(error))
        return getattr(self._own, name)(*args, **kwargs)


def _either(name: str) -> Callable[..., Any]:
    def ask(self: SteadyCache, *args: Any, **kwargs: Any) -> Any:
        return self._ask(name, *args, **kwargs)

    return ask


for _name in (
    *("add", "get", "set", "touch", "delete", "has_key", "incr"),
    *("get_many", "set_many", "delete_many", "clear"),
):
    setattr(SteadyCache, _name, _either(_name))
