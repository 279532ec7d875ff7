"""What lies in the bucket under our own root and belongs to no row, left by crashes."""

from datetime import UTC, datetime, timedelta

import structlog

from apps.core.clock import db_now
from apps.drivers.errors import DriverError
from apps.registry.models import ModelVersion, VersionFile
from apps.registry.selectors import open_store, root
from apps.registry.states import FROZEN, MOVING

log = structlog.get_logger(__name__)

# What is younger may belong to a row that is just being written.
QUIET = timedelta(hours=1)


def sweep_litter(*, now: datetime | None = None) -> list[str]:
    """Abort uploads and remove objects that no version knows; the keys that were removed.

    The rows are read after the listing: what is not in the listing is not touched, and what began
    meanwhile is young.
    """
    store, before = open_store(), (now or db_now()) - QUIET
    try:
        uploads, objects = store.uploads(root()), store.objects(root())
        old_uploads = [one for one in uploads if _utc(one.begun_at) < before]
        old_objects = [one for one in objects if _utc(one.changed_at) < before]
        known_uploads, known_prefixes = _known_uploads(), _known_prefixes()
        gone = []
        for upload in old_uploads:
            if upload.upload_id not in known_uploads:
                store.abort(upload.key, upload.upload_id)
                gone.append(upload.key)
        for item in old_objects:
            if _folder(item.key) not in known_prefixes:
                store.delete(item.key)
                gone.append(item.key)
    except DriverError as error:
        log.warning("litter_stays", error=error.detail)
        return []
    if gone:
        log.info("litter_removed", count=len(gone), first=gone[0])
    return gone


def _known_uploads() -> set[str]:
    rows = VersionFile.objects.filter(version__state__in=MOVING).exclude(upload_id="")
    return set(rows.values_list("upload_id", flat=True))


def _known_prefixes() -> set[str]:
    rows = ModelVersion.objects.filter(state__in=FROZEN | MOVING, purged_at=None).exclude(prefix="")
    return set(rows.values_list("prefix", flat=True))


def _folder(key: str) -> str:
    """The version's own folder: the root, the model, the version and the attempt."""
    parts = key.removeprefix(root()).split("/")
    return f"{root()}{'/'.join(parts[:3])}/"


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
