"""The loop: measure, write down, send, obey; on a clock that tests replace."""

import logging
import random
import threading
from dataclasses import asdict
from typing import Any

from hostedai_agent import __version__, engines, gpus, spot
from hostedai_agent.clock import Clock
from hostedai_agent.config import Config
from hostedai_agent.fence import Fence
from hostedai_agent.gpus import GpuSource, Unreadable
from hostedai_agent.identity import Identity, Store, hash_of, mint
from hostedai_agent.journal import Journal
from hostedai_agent.machine import Check, Machine
from hostedai_agent.portal import Failed, NotTaken, Portal, Refused, Reply

log = logging.getLogger("hostedai_agent")

SPOT_EVERY = 5.0
BATCH = 100
# So many batches in a row at most, so that a long replay leaves room for measuring.
BATCHES = 20
FACTS_EVERY = 60.0


class Agent:
    """One host's agent. Use `run` from one thread; `stop` from anywhere."""

    def __init__(
        self, config: Config, clock: Clock | None = None, *, source: GpuSource | None = None
    ) -> None:
        self.clock = clock or Clock()
        self._config = config
        self._store = Store(config.state)
        self._wish = Store(config.state, "enrolling")
        self._portal = Portal(config.url, ca_file=config.ca_file, allow_http=config.allow_http)
        self._machine = Machine(config.disk)
        self._facts = self._machine.facts()
        self._gpus = source or gpus.choose(config.gpus, self._facts["hostname"])
        self._spot = spot.choose(config.spot, config.metadata_url)
        self._engines: list[engines.Engine] = []
        self._notice: spot.Notice | None = None
        self._journal = Journal(config.state)
        self._fence = Fence(config.state, config.fence_command, now=self.clock.steady())
        self._measured_at: float | None = None
        self._facts_at: float | None = None
        self._interval = 10.0
        self._batch = BATCH

    # ------------------------------------------------------------ enrolment

    def enrol(self, token: str) -> Identity:
        """Become a node, anew if need be; raises `Refused` when the token is no good, `Failed` when nobody
        answers. The credential in use is replaced only when the portal has taken the new one."""
        wish = self._wish.load() or self._wish.save(Identity(self._portal.url, mint()))
        body = {
            "credential_sha256": hash_of(wish.credential),
            "hostname": self._facts["hostname"],
            "version": __version__,
        }
        registered = self._portal.register(token, body)
        log.info("registered as node %s (%s)", registered.name, registered.node_id)
        mine = self._store.save(Identity(wish.url, wish.credential, registered.node_id))
        self._wish.forget()
        return mine

    @property
    def is_enrolled(self) -> bool:
        mine = self._store.load()
        return mine is not None and mine.is_enrolled

    # ------------------------------------------------------------ the loop

    def run(self) -> None:
        """Until stopped; raises `Refused` when the portal no longer knows this host."""
        watcher = threading.Thread(target=self._watch_spot, name="spot", daemon=True)
        if self._config.spot != "none":
            watcher.start()
        try:
            while not self.clock.is_stopped:
                began = self.clock.steady()
                self.beat()
                self.clock.wait(self._interval - (self.clock.steady() - began))
            self.measure()
            self._send(stopping=True)
        finally:
            self._journal.close()
            self._gpus.close()

    def stop(self) -> None:
        self.clock.stop()

    def beat(self) -> bool:
        """Measure and send what is due; False when the portal did not hear it."""
        self.measure()
        heard = self._send()
        if not heard:
            self._fence.check(self.clock.steady(), self.clock.wall())
        return heard

    def measure(self) -> None:
        """Write down what the host does now and how many seconds that stands for."""
        now = self.clock.wall()
        before, self._measured_at = self._measured_at, now
        entry = {
            "at": round(now, 3),
            "seconds": round(max(0.0, now - before), 3) if before is not None else 0.0,
            **self._machine.reading(),
            "gpus": self._readings(now),
            "engines": engines.look_at_all(self._watched()),
        }
        self._journal.append(entry)

    def look_for_notice(self) -> bool:
        """Ask the provider; True when it has announced something new."""
        found = self._spot.look()
        is_new = found is not None and found != self._notice
        self._notice = found or self._notice
        return is_new

    def _watch_spot(self) -> None:
        pause = threading.Event()
        while not self.clock.is_stopped:
            if self.look_for_notice():
                log.warning("the provider announced: %s", self._notice)
                self.clock.wake()
            pause.wait(SPOT_EVERY)

    # ------------------------------------------------------------ sending

    def _send(self, *, stopping: bool = False) -> bool:
        mine = self._store.load()
        if mine is None or not mine.is_enrolled:
            raise Refused("This host is not enrolled.")
        try:
            for _batch in range(1 if stopping else BATCHES):
                mine = self._exchange(mine, stopping)
                if not len(self._journal):
                    break
        except Failed as error:
            log.warning("the portal does not answer: %s (%s kept)", error, len(self._journal))
            return False
        except NotTaken as error:
            log.error("the portal does not take the report: %s", error)
            self._leave_out()
            return False
        return True

    def _leave_out(self) -> None:
        """Find the entry that is not taken, one by one, and give it up; facts wait for their next turn."""
        self._facts_at = self.clock.steady()
        refused = self._journal.oldest(self._batch)
        if len(refused) == 1:
            self._journal.forget(refused[0]["seq"])
            self._batch = BATCH
        elif refused:
            self._batch = max(1, len(refused) // 2)

    def _exchange(self, mine: Identity, stopping: bool) -> Identity:
        entries = self._journal.oldest(self._batch)
        body = self._report(mine, entries, stopping)
        asked_at = self.clock.steady()  # the portal counts from when it heard, which was later
        reply = self._portal.heartbeat(mine.node_id, mine.credential, body)
        self._fence.renew(asked_at)
        if "fenced_at" in body:
            self._fence.lift()
        if "facts" in body:
            self._facts_at = self.clock.steady()
        self._journal.forget(reply.acknowledged)
        return self._obey(mine, reply)

    def _report(self, mine: Identity, entries: list[dict[str, Any]], stopping: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "journal": self._journal.id,
            "version": __version__,
            "sent_at": round(self.clock.wall(), 3),
            "samples": entries,
            "stopping": stopping,
        }
        if self._facts_at is None or self.clock.steady() - self._facts_at >= FACTS_EVERY:
            body["facts"] = self._inventory()
        if self._notice is not None:
            body["notice"] = asdict(self._notice)
        if (fell := self._fence.fell_at) is not None:
            body["fenced_at"] = fell
        if mine.upcoming:
            body["next_credential_sha256"] = hash_of(mine.upcoming)
        return body

    def _obey(self, mine: Identity, reply: Reply) -> Identity:
        self._interval, self._fence.lease = reply.interval, reply.lease
        self._engines = reply.engines
        if reply.want_facts:
            self._facts_at = None
        if mine.upcoming and reply.accepted == hash_of(mine.upcoming):
            log.info("the credential was rotated")
            return self._store.save(mine.promote())
        return self._store.save(mine.prepare()) if reply.rotate and not mine.upcoming else mine

    # ------------------------------------------------------------ what there is

    def _inventory(self) -> dict[str, Any]:
        self._facts = self._machine.facts()
        cards, check = self._cards()
        checks = [*self._machine.checks(), check]
        return {**self._facts, "gpus": cards, "checks": [asdict(one) for one in checks]}

    def _cards(self) -> tuple[list[dict[str, Any]] | None, Check]:
        """The cards, or None when they cannot be asked: then nothing is known of them."""
        try:
            cards = self._gpus.cards()
        except Unreadable as error:
            return None, Check("gpus", False, str(error)[:200])
        return [asdict(one) for one in cards], Check("gpus", True, f"{len(cards)} by {self._gpus.kind}")

    def _readings(self, now: float) -> list[dict[str, Any]]:
        try:
            return [asdict(one) for one in self._gpus.readings(now)]
        except Unreadable:
            return []

    def _watched(self) -> list[engines.Engine]:
        named = [engines.Engine(url, url) for url in self._config.engines]
        return engines.allowed([*self._engines, *named])


def enrol_patiently(agent: Agent, token: str) -> None:
    """Try until the portal answers, or the agent is stopped; ever more slowly, with jitter."""
    pause = 1.0
    while not agent.clock.is_stopped:
        try:
            agent.enrol(token)
            return
        except Failed as error:
            log.warning("the portal does not answer: %s", error)
        agent.clock.wait(pause * random.uniform(0.5, 1.5))  # noqa: S311 (no secret)
        pause = min(pause * 2, 30.0)
