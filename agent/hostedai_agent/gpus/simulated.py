"""Pretended cards, for machines without one: the same host always has the same cards."""

import hashlib
import math
import uuid

from hostedai_agent.gpus.base import Card, CardReading, GpuSource

MEMORY_GIB = {"h100-80gb": 80, "h200-141gb": 141, "b200-180gb": 180, "a100-80gb": 80, "l40s-48gb": 48}
PERIOD_SECONDS = 600.0
IDLE_W, BUSY_W = 70.0, 620.0


class SimulatedGpus(GpuSource):
    """Load goes up and down like a slow wave, each card a little later than the one before."""

    kind = "simulated"

    def __init__(self, hostname: str, count: int, model: str) -> None:
        memory = MEMORY_GIB.get(model, 80) * 1024
        self._cards = [
            Card(_serial(hostname, n), "nvidia", model, memory, f"0000:{n + 1:02x}:00.0", n // 4)
            for n in range(count)
        ]
        self._sick: dict[str, tuple[str, str]] = {}

    def cards(self) -> list[Card]:
        return [self._shown(card) for card in self._cards]

    def readings(self, now: float) -> list[CardReading]:
        return [self._reading(at, card, now) for at, card in enumerate(self._cards)]

    def break_card(self, at: int, health: str, reason: str) -> None:
        """Pretend that a card is not well."""
        self._sick[self._cards[at].uuid] = (health, reason)

    def _shown(self, card: Card) -> Card:
        health, reason = self._sick.get(card.uuid, ("healthy", ""))
        return Card(
            card.uuid,
            card.vendor,
            card.model,
            card.memory_mib,
            card.pci_address,
            card.numa_node,
            health,
            reason,
        )

    def _reading(self, at: int, card: Card, now: float) -> CardReading:
        busy = 0.5 + 0.45 * math.sin(2 * math.pi * (now / PERIOD_SECONDS + at / 8))
        return CardReading(
            uuid=card.uuid,
            busy_percent=round(100 * busy, 1),
            memory_used_mib=int(card.memory_mib * (0.2 + 0.7 * busy)),
            temperature_c=round(34 + 40 * busy, 1),
            power_w=round(IDLE_W + (BUSY_W - IDLE_W) * busy, 1),
            ecc_errors=1 if card.uuid in self._sick else 0,
        )


def _serial(hostname: str, number: int) -> str:
    digest = hashlib.sha256(f"{hostname}/{number}".encode()).digest()
    return f"GPU-{uuid.UUID(bytes=digest[:16])}"
