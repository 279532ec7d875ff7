"""What GPU pools hear from below."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.dispatch import receiver

from apps.drivers.base import NodeInfo
from apps.gpupools.selectors.cards import count_cards
from apps.gpupools.services import devices
from apps.nodes.models import Node
from apps.nodes.signals import cards_asked, inventory_recorded
from apps.regions.models import Cluster


@receiver(inventory_recorded)
def note_cards(
    *, cluster: Cluster, seen: Mapping[str, NodeInfo], now: datetime, is_complete: bool, **_kwargs: Any
) -> dict[str, str]:
    return devices.record_devices(cluster=cluster, seen=seen, now=now, is_complete=is_complete)


@receiver(cards_asked)
def tell_cards(*, node: Node, **_kwargs: Any) -> tuple[int, int]:
    return count_cards(node_id=node.pk)
