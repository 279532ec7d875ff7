"""A long pass keeps its lease alive, says how far it is, and stops when the row is no longer its own."""

import time
from datetime import timedelta

from apps.core.leases import LeaseLost, extend
from apps.registry.models import ModelVersion, VersionFile
from apps.registry.services import verdicts

LEASE = timedelta(minutes=2)
BEAT_SECONDS = 10.0


class Pulse:
    """Belongs to one pass over one version."""

    def __init__(self, version: ModelVersion) -> None:
        self.version = version
        assert version.lease_token is not None
        self.token = version.lease_token
        self.has_moved = False
        self._state = version.state
        self._next = time.monotonic() + BEAT_SECONDS

    def look(self) -> None:
        """Read the row again; LeaseLost when another holds it."""
        self.version.refresh_from_db()
        if self.version.lease_token != self.token:
            raise LeaseLost(self.version.pk)
        self._state = self.version.state

    def beat(self, file: VersionFile, arrived: int) -> None:
        """Called often and cheap: every few seconds extends the lease and notes the progress."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + BEAT_SECONDS
        extend(self.version, self.token, ttl=LEASE)
        fresh = ModelVersion.objects.filter(pk=self.version.pk, state=self._state).exists()
        if not fresh:
            raise LeaseLost(self.version.pk)
        verdicts.note_progress(version=self.version, file=file, arrived=arrived)
