"""From the rows of a simulated cloud to the words of the contract; touches nothing."""

import json
import math
import sqlite3
import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256

from apps.drivers.base import Counters, GpuInfo, GpuUse, Health, MachineRef, NodeInfo, Power


def power_of(row: sqlite3.Row, now: float) -> Power:
    if row["removing_at"] is not None or row["settled_at"] > now:
        return Power.CHANGING
    return Power.RUNNING if row["is_on"] else Power.STOPPED


def ref_of(row: sqlite3.Row) -> MachineRef:
    return MachineRef(row["name"], row["installation"], row["resource_id"], row["fence"])


def gpu_of(row: sqlite3.Row) -> GpuInfo:
    return GpuInfo(
        uuid=row["uuid"], vendor=row["vendor"], model=row["model"], memory_mib=row["memory_mib"],
        pci_address=row["pci_address"], numa_node=row["numa_node"], health=Health(row["health"]),
    )  # fmt: skip


def node_of(row: sqlite3.Row, gpus: Mapping[str, Sequence[GpuInfo]]) -> NodeInfo:
    return NodeInfo(
        name=row["name"], vcpus=row["vcpus"], memory_mib=row["memory_mib"], disk_gib=row["disk_gib"],
        hypervisor="sim", health=Health(row["health"]), zone=row["zone"], rack=row["rack"],
        gpus=tuple(gpus.get(row["name"], ())),
    )  # fmt: skip


def host_key_of(name: str, created_at: float) -> str:
    parts = (b"ssh-ed25519", sha256(f"{name}{created_at}".encode()).digest())
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return f"ssh-ed25519 {b64encode(blob).decode()}"


def counters_of(row: sqlite3.Row, now: float, *, cards: int, load: sqlite3.Row | None) -> Counters:
    """Totals that only grow: at the pace of the load that was set, or at one that swings with a period of
    its own for each machine."""
    up = max(0.0, now - row["settled_at"])
    if load is not None:
        gpus = tuple(GpuUse(busy, memory) for busy, memory in json.loads(load["gpus"]))
        return _counters(row, now, work=load["cpu"] * up, share=load["memory"], gpus=gpus)
    mood = zlib.crc32(row["name"].encode())
    level, period = 0.15 + mood % 50 / 100, 240 + mood % 900
    swing = period / (2 * math.pi)
    work = level * (
        up + 0.6 * swing * (1 - math.cos(up / swing))
    )  # the integral of a rate that is never negative
    wave = math.sin(up / swing)
    share = 0.25 + 0.4 * level + 0.1 * wave
    card = GpuUse(busy=round(100 * level * (1.2 + 0.3 * wave), 1), memory=round(100 * share, 1))
    gpus = (card,) * cards
    return _counters(
        row, now, work=work + 0.5 * min(up, 20.0), share=share * min(1.0, 0.3 + up / 30), gpus=gpus
    )


def _counters(
    row: sqlite3.Row, now: float, *, work: float, share: float, gpus: tuple[GpuUse, ...]
) -> Counters:
    """`work` is in seconds of all its processors; what is read and sent goes with it."""
    boot = min(max(0.0, now - row["settled_at"]), 20.0)
    return Counters(
        at=now,
        cpu_ns=int(row["vcpus"] * 1e9 * work),
        net_rx_bytes=int(work * 900_000 + boot * 20_000),
        net_tx_bytes=int(work * 350_000 + boot * 4_000),
        disk_read_bytes=int(work * 1_500_000 + boot * 12_000_000),
        disk_write_bytes=int(work * 800_000 + boot * 500_000),
        memory_used_mib=int(row["memory_mib"] * share),
        memory_total_mib=row["memory_mib"],
        gpus=gpus,
    )
