"""Writes: regions with their zones and brake, clusters with their configuration."""

from apps.regions.services.clusters import (
    agents_cluster,
    configure_cluster,
    create_cluster,
    move_cluster,
    note_seen,
    note_unseen,
    recheck_cluster,
)
from apps.regions.services.regions import (
    create_region,
    create_zone,
    freeze_region,
    move_region,
    pull_brake,
    unfreeze_region,
    update_region,
)

__all__ = [
    "agents_cluster",
    "configure_cluster",
    "create_cluster",
    "create_region",
    "create_zone",
    "freeze_region",
    "move_cluster",
    "move_region",
    "note_seen",
    "note_unseen",
    "pull_brake",
    "recheck_cluster",
    "unfreeze_region",
    "update_region",
]
