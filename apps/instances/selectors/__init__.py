"""Reads: instances, what was measured of them, and why a launch would or would not do."""

from apps.instances.selectors.explaining import Known, explain
from apps.instances.selectors.reading import (
    get_instance,
    list_instances,
    list_snapshots,
    occupants,
    samples,
)

__all__ = ["Known", "explain", "get_instance", "list_instances", "list_snapshots", "occupants", "samples"]
