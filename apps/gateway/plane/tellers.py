"""Money that a worker may spend without asking: leases, and the part of them that each request holds.

A teller serves all keys of a team but those that a narrower budget limits, which have one each. A request
holds the most it can cost; when it is over, what it did not use returns to its lease. A lease that is spent
is given back once nothing holds any of it.
"""

import time
from collections import deque
from collections.abc import Callable

from apps.core.uuids import decode
from apps.gateway import messages
from apps.gateway.messages import AnyMessage

# A lease is to last for so many requests like the one that needs it, and for so long at the pace at which
# the one before was spent; it grows by steps, and the next is asked for while there is some left.
AHEAD = 24
AHEAD_SECONDS = 10.0
MOST_GROWTH = 64
EARLY = 4
IDLE_SECONDS = 20.0
# Amounts are rounded to twelve decimals when they are charged: a hold has room for that.
ROUNDING = 4 * 10**6
RENEW_BEFORE = 120.0


class Lease:
    """Part of a wallet; `left` can still be held, `outstanding` is."""

    __slots__ = (
        *("amount", "asked_at", "began_at", "ends_at", "id", "key", "left", "outstanding", "requests"),
        "used_at",
    )

    def __init__(self, lease_id: str, amount: int, seconds: float, now: float):
        self.id, self.key = lease_id, decode("lse", lease_id).bytes
        self.amount = self.left = amount
        self.outstanding = self.requests = 0
        self.began_at = self.used_at = self.asked_at = now
        self.ends_at = now + seconds

    def settle(self, held: int, spent: int) -> None:
        """A request is over; it held this and cost that, but never more than it held."""
        self.outstanding -= held
        self.requests -= 1
        if spent < held:
            self.left += held - spent


class Held:
    """What one request holds, and of which lease; less than it wanted when there is no more."""

    __slots__ = ("amount", "lease")

    def __init__(self, lease: Lease | None, amount: int):
        self.lease, self.amount = lease, amount
        if lease is not None:
            lease.left -= amount
            lease.outstanding += amount
            lease.requests += 1

    def shrink(self, amount: int) -> None:
        """Less will do: the rest can be held by another request."""
        lease, spare = self.lease, self.amount - amount
        if lease is not None and spare > 0:
            self.amount = amount
            lease.outstanding -= spare
            lease.left += spare


NOTHING = Held(None, 0)
Purse = tuple[str, str, str]  # team, and workspace and key where these have a budget
# Gets what is held (perhaps less than was wanted), or the code of a refusal.
Answered = Callable[[Held | None, str], None]


class Teller:
    """The money of one purse in this worker."""

    __slots__ = (
        "_asking",
        "_is_short",
        "_needed",
        "_send",
        "_waiting",
        "_wanted",
        "leases",
        "purse",
        "words",
    )

    def __init__(self, purse: Purse, send: Callable[[AnyMessage], bool]):
        self.purse = purse
        self._send = send
        self.leases: list[Lease] = []
        self._waiting: deque[tuple[int, int, Answered]] = deque()
        self._asking = False
        self._is_short = False  # the last lease was smaller than was asked for
        self._needed = self._wanted = 0
        self.words = ""  # what is used up, as the steward said last

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing and nobody waits for anything."""
        return not (self.leases or self._waiting or self._asking)

    def hold(self, most: int, least: int, answered: Answered) -> None:
        """Hold `most`; when that cannot be had, anything from `least` on is better than nothing."""
        held = self.take(most, time.monotonic())
        if held is not None:
            answered(held, "")
            return
        self._waiting.append((most, least, answered))
        self._ask()

    def take(self, amount: int, now: float) -> Held | None:
        """Hold so much at once, if that can be done and nobody waits."""
        lease = None if self._waiting else self._with(amount, now)
        if lease is None:
            return None
        held = Held(lease, amount)
        if lease.left * EARLY < lease.amount and not (self._asking or self._is_short):
            self._want(0, amount)
        return held

    def _with(self, amount: int, now: float) -> Lease | None:
        for lease in reversed(self.leases):
            if lease.left >= amount and lease.ends_at > now:
                lease.used_at = now
                return lease
        return None

    def _ask(self) -> None:
        if self._asking or not self._waiting:
            return
        if not self._want(self._waiting[0][0], sum(one[0] for one in self._waiting)):
            self._serve("billing_away")

    def _want(self, need: int, more: int) -> bool:
        """Ask for a lease that is worth asking for; False when nobody can be asked."""
        amount = max(more, need * AHEAD)
        if self.leases:
            last = self.leases[-1]
            seconds = max(time.monotonic() - last.began_at, AHEAD_SECONDS / MOST_GROWTH)
            amount = max(amount, int((last.amount - last.left) * (AHEAD_SECONDS / seconds)))
        self._needed, self._wanted = need, amount
        self._asking = self._send(messages.Want(*self.purse, need, amount))
        return self._asking

    def granted(self, message: messages.Granted) -> None:
        """The steward has answered; less than was needed is all there is."""
        self._asking = False
        self.words = message.words
        self._is_short = message.amount < self._wanted
        now = time.monotonic()
        if message.amount > 0:
            self.leases.append(Lease(message.lease_id, message.amount, message.seconds, now))
        is_short = message.amount < self._needed
        self._serve("" if not is_short else message.refusal or "insufficient_quota")
        self._ask()
        self.tidy(now, idle_seconds=IDLE_SECONDS)

    def renewed(self, message: messages.Renewed) -> None:
        for lease in self.leases:
            if lease.id == message.lease_id:
                lease.ends_at = time.monotonic() + message.seconds

    def _serve(self, short: str) -> None:
        """Those who wait, in order. With `short`, a refusal's code, nothing more is to be had: whoever can do
        with less gets what is left, the others are refused."""
        while self._waiting:
            most, least, answered = self._waiting[0]
            now = time.monotonic()
            lease, amount = self._with(most, now), most
            if lease is None and short:
                lasting = [one for one in self.leases if one.ends_at > now]
                lease = max(lasting, key=lambda one: one.left, default=None)
                amount = lease.left if lease is not None else 0
                if amount < least:
                    lease = None
            elif lease is None:
                return
            self._waiting.popleft()
            if lease is None:
                answered(None, short)
            else:
                answered(Held(lease, amount), "")

    def tidy(self, now: float, *, idle_seconds: float) -> None:
        """Keep what is used, give back what is not."""
        kept: list[Lease] = []
        for lease in self.leases:
            is_newest = lease is self.leases[-1]
            is_idle = now - lease.used_at > idle_seconds or now > lease.ends_at
            if not lease.requests and (is_idle or not is_newest):
                self._send(messages.GiveBack(lease.id))
                continue
            kept.append(lease)
            if lease.ends_at - now < RENEW_BEFORE and now - lease.asked_at > 5.0:
                lease.asked_at = now
                self._send(messages.Hold(lease.id, lease.outstanding, lease.left))
        self.leases = kept

    def recall(self) -> dict[str, int]:
        """Let go of what nothing holds; answers what each lease still needs."""
        self._is_short = True  # others are: do not ask early
        kept = {}
        for lease in self.leases:
            lease.left = 0
            kept[lease.id] = lease.outstanding
        self.leases = [lease for lease in self.leases if lease.requests]
        return kept
