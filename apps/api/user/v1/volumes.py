"""The team's disks."""

from apps.api.base import TeamViewSet
from apps.api.storage import VolumeActions, VolumeOut, volume_calls


class VolumeViewSet(VolumeActions, TeamViewSet):
    """The team's disks; each lives and ends with its instance."""

    calls = volume_calls(VolumeOut)
